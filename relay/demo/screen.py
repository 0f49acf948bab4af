"""What a person sees: a live table on a terminal, a line each second elsewhere. Knows the figures alone."""

import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.live import Live
from rich.table import Table

from relay.demo.figures import Figures
from relay.printable import counted

LINE_SECONDS = 1.0


class Screen:
    """Shows figures as they change, and what happens."""

    def __init__(self) -> None:
        self._console = Console(highlight=False, soft_wrap=True)
        self._live = Live(console=self._console, auto_refresh=False) if self._console.is_terminal else None
        self._started = time.monotonic()
        self._next_line = 0.0

    def __enter__(self) -> Self:
        if self._live:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live:
            self._live.stop()

    def say(self, text: str) -> None:
        """Tell that something happens; it stays to be read."""
        self._console.print(f"{self._seconds():4.0f} s  {text}", markup=False)

    def conclude(self, lines: tuple[str, ...]) -> None:
        """Print the end of it all."""
        for line in lines:
            self._console.print(line, markup=False)

    def show(self, figures: Figures) -> None:
        """Show figures instead of the last ones; off a terminal, as a line, when the last is a second old."""
        if self._live:
            self._live.update(_table(figures), refresh=True)
        elif time.monotonic() >= self._next_line:
            self._next_line = time.monotonic() + LINE_SECONDS
            self.say("  ".join(f"{name} {value}" for name, value in _cells(figures)))

    def _seconds(self) -> float:
        return time.monotonic() - self._started


def _cells(figures: Figures) -> list[tuple[str, str]]:
    return [
        ("committed", f"{figures.committed:,}"),
        ("rolled back", f"{figures.rolled_back:,}"),
        ("published", f"{figures.published:,}"),
        ("consumed", f"{figures.consumed:,}"),
        ("lag", f"{figures.lag:,}"),
        ("latency", "-" if figures.latency is None else f"{figures.latency * 1000:.0f} ms"),
        ("relays", ", ".join(f"{name}: {counted(shards, 'shard')}" for name, shards in figures.relays) or "none"),
    ]


def _table(figures: Figures) -> Table:
    table = Table()
    cells = _cells(figures)
    for name, _ in cells:
        table.add_column(name, justify="left" if name == "relays" else "right")
    table.add_row(*(value.replace(", ", "\n") for _, value in cells))
    return table
