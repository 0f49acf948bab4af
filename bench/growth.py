"""How the relay bears deeper backlogs and larger payloads: two curves of the part `growth`, for the docs."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from relay.bench.figure import Figure, Verdict
from relay.bench.plot import FAINT, INK, MARKS, drawing, new_sheet, save

if TYPE_CHECKING:
    from matplotlib.axes import Axes

PART = "growth"
_, RELAY = MARKS[Verdict.MET]

DEPTH = re.compile(r"drain of ([\d,]+) messages\b")
SIZE = re.compile(r"payloads of (([\d,]+) (B|kB|MiB))\b")
"""How the part names its figures: the depth of the backlog in messages, the size of the payloads."""

UNITS = {"B": 1, "kB": 1_000, "MiB": 1_048_576}


@dataclass(frozen=True, slots=True)
class Point:
    """One place of a curve."""

    at: int
    """How deep or how large: messages, or bytes."""
    name: str
    figure: Figure


def depths(figures: Iterable[Figure]) -> list[Point]:
    """Return the figures of backlogs of several depths, the shallowest first."""
    found = [(match, figure) for figure in _growth(figures) if (match := DEPTH.search(figure.name))]
    return _sorted(Point(int(match[1].replace(",", "")), match[1], figure) for match, figure in found)


def sizes(figures: Iterable[Figure]) -> list[Point]:
    """Return the figures of payloads of several sizes, the smallest first."""
    found = [(match, figure) for figure in _growth(figures) if (match := SIZE.search(figure.name))]
    return _sorted(Point(int(match[2].replace(",", "")) * UNITS[match[3]], match[1], figure) for match, figure in found)


def draw(figures: Sequence[Figure], file: Path) -> bool:
    """Draw both curves.

    Args:
        figures: of any parts.
        file: the `.svg` or `.png` to write.

    Returns:
        Whether there was anything to draw.

    Raises:
        UserMistake: the file cannot be written.
    """
    deeper, larger = depths(figures), sizes(figures)
    if not (deeper and larger):
        return False
    with drawing():
        sheet = new_sheet(10, 3.8)
        left, right = sheet.subplots(1, 2)
        _curve(left, deeper, "Drain rate by depth of the backlog, messages/s", "messages of backlog")
        _curve(right, larger, "Throughput by size of the payload, MB/s", "payload")
        _line(
            right, larger, [point.figure.reference for point in larger], label="bare loop", color=FAINT, linestyle="--"
        )
        for axes in (left, right):
            axes.set_ylim(0, 1.08 * axes.get_ylim()[1])
            axes.legend(loc="lower right", frameon=False)
        sheet.tight_layout()
        save(sheet, file)
    return True


def _growth(figures: Iterable[Figure]) -> list[Figure]:
    return [figure for figure in figures if figure.part == PART]


def _sorted(points: Iterable[Point]) -> list[Point]:
    return sorted(points, key=lambda point: point.at)


def _curve(axes: "Axes", points: Sequence[Point], title: str, below: str) -> None:
    _line(axes, points, [point.figure.value for point in points], label="relay", color=RELAY)
    axes.set_xscale("log")
    axes.set_title(title, size=9.5, color=INK)
    axes.set_xlabel(below)
    axes.set_xticks([point.at for point in points], [point.name for point in points])
    axes.minorticks_off()
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    axes.grid(axis="y", color=FAINT, alpha=0.25, linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)


def _line(axes: "Axes", points: Sequence[Point], values: Sequence[float | None], **style: Any) -> None:
    known = [(point.at, value) for point, value in zip(points, values, strict=True) if value is not None]
    axes.plot(*zip(*known, strict=True), marker="o", markersize=4, **style)
