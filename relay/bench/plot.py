"""The figures that have goals, drawn: how far each is from its goal, all on one scale, readable without the table.

A row for each: its name, a point at how many times as good as the goal it is with the spread of its runs, and the
number itself. Right of the line is met, whichever way the goal points. The same report makes the same bytes.
"""

import importlib.util
import math
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from relay.bench.figure import Figure, Goal, Verdict
from relay.bench.parts import not_installed
from relay.bench.report import Report
from relay.bench.table import number
from relay.errors import UserMistake

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Sheet

KINDS = (".svg", ".png")
NOTHING = "None of these figures has a goal"

MARKS = {Verdict.MET: ("o", "#1a7f37"), Verdict.MISSED: ("X", "#cf222e")}
"""By shape and by colour: not everybody tells green from red."""

INK, FAINT, PAPER = "#1f2328", "#59636e", "#ffffff"
"""It brings its own background, so that it can be read on a dark page too."""

EDGE = 4.0
"""The scale ends at so many times the goal, either way; what lies beyond is drawn at its end as an arrow."""

TICKS = {0.25: "4 times\nworse", 0.5: "2 times\nworse", 1.0: "goal", 2.0: "2 times\nbetter", 4.0: "4 times\nbetter"}
WIDTH, ROW, HEADING, LINE = 10.0, 0.42, 0.3, 0.16
"""In inches: the sheet, a row, what is above a part's rows, and each further line of a name."""


def check(file: Path) -> None:
    """Refuse a file that could not be drawn to, before anything is measured.

    Raises:
        UserMistake: its kind is unknown, it cannot be written, or there is nothing to draw with.
    """
    if file.suffix.lower() not in KINDS:
        raise UserMistake(f"--plot {file} is of no known kind; allowed: {', '.join(KINDS)}")
    if importlib.util.find_spec("matplotlib") is None:
        raise not_installed("--plot", "matplotlib")
    existed = file.exists()
    try:
        file.open("ab").close()
    except OSError as error:
        raise UserMistake(f"--plot {file} cannot be written: {error.strerror}") from None
    if not existed:
        file.unlink()


def draw(report: Report, file: Path) -> None:
    """Draw a report.

    Args:
        report: what was measured.
        file: an `.svg` or `.png` file, replaced if there is one.

    Raises:
        UserMistake: it cannot be written.
    """
    figures = [figure for figure in report.figures if figure.goal]
    rows, height = _rows(figures)
    with drawing():
        sheet = new_sheet(WIDTH, height + 1.2)
        axes = sheet.add_axes((0.36, 0.75 / (height + 1.2), 0.32, height / (height + 1.2)))
        _scale(axes, height)
        for top, figure in rows:
            if isinstance(figure, str):
                axes.text(-1.1, top, figure, transform=axes.get_yaxis_transform(), weight="bold", va="center")
            else:
                _draw_row(axes, top, figure)
        _entitle(sheet, report.machine, "How far each figure is from its goal" if figures else NOTHING)
        save(sheet, file)


def _entitle(sheet: "Sheet", machine: Mapping[str, str], title: str) -> None:
    """Write the title at the top, and the machine that the figures are of at the bottom."""
    inch = 1 / sheet.get_figheight()
    about = " · ".join(machine[name] for name in ("processor", "date") if name in machine)
    sheet.text(0.5, 1 - 0.2 * inch, title, ha="center", va="center", weight="bold", size=11)
    sheet.text(0.5, 0.12 * inch, about, ha="center", va="center", color=FAINT, size=7.5, parse_math=False)


@contextmanager
def drawing() -> Iterator[None]:
    """Draw the same everywhere while the context lasts, whatever the user has set matplotlib to."""
    import matplotlib as mpl  # noqa: PLC0415 - of the extra `bench`, and slow to import

    with mpl.rc_context():
        mpl.rcdefaults()
        # Text stays text: small, and found by a search in the page.
        mpl.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "relay-bench", "font.size": 9.0})
        mpl.rcParams.update({"text.color": INK, "axes.labelcolor": INK, "xtick.color": FAINT, "ytick.color": FAINT})
        yield


def new_sheet(width: float, height: float) -> "Sheet":
    """Return an empty sheet of so many inches; it needs no display."""
    from matplotlib.figure import Figure as Sheet  # noqa: PLC0415 - see above

    return Sheet(figsize=(width, height), facecolor=PAPER, dpi=150)


def save(sheet: "Sheet", file: Path) -> None:
    """Write a sheet to a file, without the time and the program, which would make each different.

    Raises:
        UserMistake: it cannot be written.
    """
    nothing: dict[str, Any] = {"Date": None, "Creator": None} if file.suffix.lower() == ".svg" else {"Software": None}
    try:
        sheet.savefig(file, metadata=nothing)
    except OSError as error:
        raise UserMistake(f"--plot {file} cannot be written: {error.strerror}") from None


def goodness(goal: Goal, judged: float | None) -> float:
    """Return how many times as good as a goal a number is, between one over `EDGE` and `EDGE`; met is 1 or more."""
    if judged is None:
        return 1 / EDGE
    better, worse = (judged, goal.bound) if goal.direction == "at least" else (goal.bound, judged)
    if worse <= 0 or better <= 0:
        return EDGE if goal.met(judged) else 1 / EDGE
    return min(EDGE, max(1 / EDGE, better / worse))


def _rows(figures: Sequence[Figure]) -> tuple[list[tuple[float, Figure | str]], float]:
    """Place parts and figures; return the middle of each in inches from the top, and the height of all."""
    rows: list[tuple[float, Figure | str]] = []
    top, part = 0.0, ""
    for figure in figures:
        if figure.part != part:
            part = figure.part
            rows.append((top + HEADING / 2, part))
            top += HEADING
        height = ROW + LINE * max(0, len(_name(figure)) - 2)
        rows.append((top + height / 2, figure))
        top += height
    return rows, max(top, ROW)


def _name(figure: Figure) -> list[str]:
    return textwrap.wrap(figure.name, 52)


def _scale(axes: "Axes", height: float) -> None:
    axes.set_xscale("log", base=2)
    axes.set_xlim(1 / EDGE / 1.15, EDGE * 1.15)
    axes.set_ylim(height, 0)
    axes.set_xticks(list(TICKS), list(TICKS.values()), size=7.5)
    axes.set_yticks([])
    axes.axvline(1, color=INK, linewidth=1.2, zorder=1)
    axes.grid(axis="x", color=FAINT, alpha=0.25, linewidth=0.6)
    axes.tick_params(length=0)
    axes.set_frame_on(False)


def _draw_row(axes: "Axes", top: float, figure: Figure) -> None:
    assert figure.goal is not None
    marker, colour = MARKS[figure.verdict]
    at = goodness(figure.goal, figure.judged)
    if len(figure.runs) > 1:
        ends = sorted(goodness(figure.goal, run) for run in (min(figure.runs), max(figure.runs)))
        axes.plot(ends, [top, top], color=colour, linewidth=2, alpha=0.45, marker="|", markersize=7, zorder=2)
    if math.isclose(abs(math.log2(at)), math.log2(EDGE)):
        marker = ">" if at > 1 else "<"
    axes.plot([at], [top], color=colour, marker=marker, markersize=7, linestyle="none", zorder=3)
    beside = axes.get_yaxis_transform()
    axes.text(-1.07, top, "\n".join(_name(figure)), transform=beside, va="center", size=8, parse_math=False)
    axes.text(1.04, top, _numbers(figure), transform=beside, va="center", size=8, color=colour, parse_math=False)


def _numbers(figure: Figure) -> str:
    """Return the number and what it is judged by."""
    value = f"{number(figure.value)} {figure.unit}"
    if figure.goal is None or figure.goal.of == "value":
        return f"{value}, goal {figure.goal}"
    ratio = "without its reference" if figure.ratio is None else f"{number(figure.ratio)} times its reference"
    return f"{value}\n{ratio}, goal {figure.goal}"
