"""Promises broken on purpose, in a worker's own process: what the tests must notice, or they prove nothing.

Each replaces one thing of the workers' runtime by what somebody might have written instead. They are here and not in
the product: no setting of it can break a promise.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from app_integration.workers import group, inbox
from app_integration.workers.received import Received


def offsets_before_effect() -> None:
    """Leave offsets to the client, as it does unless told otherwise: what was fetched counts as handled."""
    group.LOCKED["enable.auto.offset.store"] = True


def inbox_not_written() -> None:
    """Handle whatever comes, and keep no record of it."""

    def enter(_connection: Any, _consumer: str, messages: Sequence[Received]) -> list[Received]:
        return list(messages)

    vars(inbox).update(enter=enter)


BREAKAGES: Mapping[str, Callable[[], None]] = {
    each.__name__: each for each in (offsets_before_effect, inbox_not_written)
}
