"""A relay under measurement that is where a measurement may begin: it holds every shard, and everything was sent.

Looks at the outbox from outside, as `relay status` does. Guarantees: no wait is endless, and what did not come about is
named.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from relay.bench import child
from relay.bench.ground import LOGICAL, Outbox
from relay.errors import WorkFailed
from relay.watching import status

PATIENCE_SECONDS = 60.0
"""Longer than anything waited for here takes on a slow machine."""

LOOK_SECONDS = 0.05
"""Between two looks: a look costs the server some milliseconds."""


@contextmanager
def relay(outbox: Outbox, topic: str, **settings: object) -> Iterator[None]:
    """Let a relay of its own process work on an outbox while the context lasts, from when it holds every shard.

    Args:
        outbox: the outbox, without any other relay.
        topic: the topic in Kafka that it publishes to.
        settings: as of `Outbox.environment`.

    Raises:
        WorkFailed: it does not get there, or ends by itself.
    """
    with child.relay(outbox.environment({LOGICAL: topic}, **settings), outbox.ground.folder) as process:

        def held() -> bool:
            if not process.running:
                raise WorkFailed("the relay under measurement ended at its start")
            return all(shard.relay for shard in status.read(outbox.database_url).shards)

        _until(held, "the relay does not take its shards")
        until_sent(outbox)
        yield


def until_sent(outbox: Outbox) -> None:
    """Return once everything committed is recorded as sent.

    Raises:
        WorkFailed: something stays pending.
    """
    _until(lambda: status.read(outbox.database_url).pending == 0, "messages stay pending")


def _until(reached: Callable[[], bool], complaint: str) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not reached():
        if time.monotonic() > deadline:
            raise WorkFailed(f"{complaint} within {PATIENCE_SECONDS:g} s; the benchmark cannot go on")
        time.sleep(LOOK_SECONDS)
