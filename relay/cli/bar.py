"""A progress bar on a terminal; anywhere else there is none."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn


@contextmanager
def bar(label: str, total: Callable[[], int | None]) -> Iterator[Callable[[int], None]]:
    """Show progress on standard error while the context lasts.

    Args:
        label: what is being done.
        total: how much there is to do, asked only when a bar is shown; None for a bar without an end.

    Yields:
        A function that takes how much more was done.
    """
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    columns = (TextColumn(label), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task("", total=total())
        yield lambda count: progress.advance(task, count)
