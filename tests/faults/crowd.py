"""Who writes while a campaign goes on: writers of every kind, to several topics, synchronously and not.

They lose their sessions with the server's faults, and go on: what they had not committed is not in the ledger.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from tests.faults.stage import Stage
from tests.fuzz.writers import Writers, settle_prepared

FOR_EVER = 10**12
PAUSE = 1.5
"""Seconds between two transactions of a writer: some hundreds of messages a second in all, little enough for two cores
that servers, relays and the judge share to follow."""


@contextmanager
def crowd(stage: Stage, seed: int) -> Iterator[None]:
    """Let them write while the block lasts; afterwards nothing is left open."""
    writers = [
        _writers(stage, "orders", seed, count=4),
        _writers(stage, "orders", seed + 1, count=2, synchronous_commit="off"),
        _writers(stage, "payments", seed + 2, count=2),
    ]
    try:
        yield
    finally:
        for each in writers:
            each.stop()
    settle_prepared(stage.url)


def _writers(stage: Stage, topic: str, seed: int, *, count: int, synchronous_commit: str = "on") -> Writers:
    return Writers(
        stage.url,
        topic,
        seed,
        FOR_EVER,
        count,
        pause=PAUSE,
        synchronous_commit=synchronous_commit,
        stubborn=True,
    )
