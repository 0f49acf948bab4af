"""The progress bar of `relay drain`, on a terminal; anywhere else there is none."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from relay import status
from relay.errors import WorkFailed

WORTH_COUNTING = 2_000_000
"""Up to how many messages it takes a second or two to count; a deeper backlog gets a bar without an end."""


@contextmanager
def drain_bar(database_url: str) -> Iterator[Callable[[int], None]]:
    """Show progress while the context lasts.

    Args:
        database_url: where what is pending is counted, once, at the start.

    Yields:
        A function that takes how many more messages were published.
    """
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    columns = (TextColumn("published"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task("", total=_pending(database_url))
        yield lambda count: progress.advance(task, count)


def _pending(database_url: str) -> int | None:
    """How many messages there are to publish; None, a bar without an end, when they could not all be counted."""
    try:
        found = status.read(database_url, most=WORTH_COUNTING)
    except WorkFailed:
        # The drain itself waits for a database that does not answer yet, or says why it gave up.
        return None
    return None if found.pending_capped else found.pending
