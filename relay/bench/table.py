"""How figures are shown to a person: a progress bar while they are measured, then a table."""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console
from rich.markup import escape
from rich.padding import Padding
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Column
from rich.text import Text

from relay.bench.figure import Figure, Verdict
from relay.bench.part import Part
from relay.bench.report import Report

HEAD = ("measured", "reference", "ratio", "goal", "verdict")
INDENT = "    "

STYLES = {Verdict.MET: "green", Verdict.MISSED: "red", Verdict.REPORTED: "dim"}


class Watch(Protocol):
    """Follows a benchmark."""

    def say(self, text: str) -> None:
        """Tell what is being done."""

    def done(self, part: Part) -> None:
        """Tell that a part is over."""


class Lines:
    """For a standard error that is no terminal: a line for each step."""

    def say(self, text: str) -> None:
        """Print it."""
        print(text, file=sys.stderr, flush=True)  # noqa: T201 - this is its screen

    def done(self, part: Part) -> None:
        """Say nothing: the next step is told anyway."""


class Bar:
    """For a terminal: a bar of the expected time, and the step that is being done."""

    def __init__(self, progress: Progress, parts: Sequence[Part]) -> None:
        self._progress = progress
        self._task = progress.add_task("", total=sum(part.seconds for part in parts))

    def say(self, text: str) -> None:
        """Show it beside the bar."""
        self._progress.update(self._task, description=escape(text))

    def done(self, part: Part) -> None:
        """Move on by the time that the part was expected to take."""
        self._progress.advance(self._task, part.seconds)


@contextmanager
def watching(parts: Sequence[Part]) -> Iterator[Watch]:
    """Give a follower of these parts on standard error while the context lasts."""
    if not sys.stderr.isatty():
        yield Lines()
        return
    step = TextColumn("{task.description}", table_column=Column(no_wrap=True, overflow="ellipsis"))
    columns = (SpinnerColumn(), BarColumn(20), TimeElapsedColumn(), step)
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        yield Bar(progress, parts)


def show(report: Report) -> None:
    """Print a report as a table, part by part; it fits 80 columns, and into a pipe nothing of it is cut off."""
    console = Console(highlight=False)
    console = console if console.is_terminal else Console(highlight=False, width=200)
    widths = [max(map(len, column)) for column in zip(HEAD, *map(_cells, report.figures), strict=True)]
    console.print(Text(INDENT + _row(HEAD, widths), style="dim"))
    part = ""
    for figure in report.figures:
        if figure.part != part:
            part = figure.part
            console.print(Text(f"\n{part}", style="bold"))
        _show_figure(console, figure, widths)
    console.print()
    for line in (" · ".join(f"{name} {value}" for name, value in report.machine.items()), summary(report)):
        console.print(Text(line))


def _show_figure(console: Console, figure: Figure, widths: Sequence[int]) -> None:
    *numbers, verdict = _cells(figure)
    line = Text(INDENT + _row((*numbers, ""), widths))
    console.print(Text(f"  {figure.name}"))
    console.print(line.append(verdict, style=STYLES[figure.verdict]))
    for remark in _remarks(figure):
        console.print(Padding(Text(remark, style="dim"), (0, 0, 0, len(INDENT)), expand=False))


def _row(cells: Sequence[str], widths: Sequence[int]) -> str:
    """Put cells under each other; the last one, which is to the left, is as long as it is."""
    *numbers, last = cells
    return "  ".join([*(cell.rjust(width) for cell, width in zip(numbers, widths, strict=False)), last])


def _cells(figure: Figure) -> tuple[str, ...]:
    return (
        f"{number(figure.value)} {figure.unit}",
        "" if figure.reference is None else number(figure.reference),
        "" if figure.ratio is None else number(figure.ratio),
        str(figure.goal or ""),
        str(figure.verdict),
    )


def _remarks(figure: Figure) -> list[str]:
    spread = f"runs: {number(min(figure.runs))} to {number(max(figure.runs))}" if len(figure.runs) > 1 else ""
    reference = f"reference: {figure.against}" if figure.against else ""
    beside = "; ".join(filter(None, (reference, spread)))
    return [remark for remark in (beside, figure.note) if remark]


def summary(report: Report) -> str:
    """Count the verdicts, in words."""
    met, missed, reported = (report.count(verdict) for verdict in Verdict)
    return f"goals: {met} met, {missed} missed; figures without one: {reported}"


def number(value: float) -> str:
    """Write a number with three or four digits that mean something."""
    if abs(value) >= 999.5:  # noqa: PLR2004 - from here on it has four digits, and they are grouped
        return f"{value:,.0f}"
    return f"{value:.3g}"
