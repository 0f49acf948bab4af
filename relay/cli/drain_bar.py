"""The progress bar of `relay drain`: how much of what was pending at the start is published."""

from collections.abc import Callable
from contextlib import AbstractContextManager

from relay.cli.bar import bar
from relay.errors import WorkFailed
from relay.watching import status

WORTH_COUNTING = 2_000_000
"""Up to how many messages it takes a second or two to count; a deeper backlog gets a bar without an end."""


def drain_bar(database_url: str) -> AbstractContextManager[Callable[[int], None]]:
    """Show progress while the context lasts.

    Args:
        database_url: where what is pending is counted, once, at the start.

    Returns:
        A context with a function that takes how many more messages were published.
    """
    return bar("published", lambda: _pending(database_url))


def _pending(database_url: str) -> int | None:
    """How many messages there are to publish; None, a bar without an end, when they could not all be counted."""
    try:
        found = status.read(database_url, most=WORTH_COUNTING)
    except WorkFailed:
        # The drain itself waits for a database that does not answer yet, or says why it gave up.
        return None
    return None if found.pending_capped else found.pending
