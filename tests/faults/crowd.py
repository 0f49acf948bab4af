"""Who writes while a campaign goes on: writers of every kind, to several topics, synchronously and not.

They lose their sessions with the server's faults, and go on: what they had not committed is not in the ledger.
"""

import os
import random
from collections.abc import Iterator
from contextlib import contextmanager

from tests.faults.stage import LETTERS_TAKE, Stage
from tests.fuzz.writers import LOCK, Connection, Write, Writers, settle_prepared

FOR_EVER = 10**12
PAUSE = 1.5
"""Seconds between two transactions of a writer: some two hundred messages a second in all, little enough for two cores
that servers, relays and the judge share to follow."""

LONGEST_DELAY = 8.0
"""Seconds by which messages are scheduled at most."""

SCHEDULE = """
-- schedule
insert into outbox.message (topic, key, payload, deliver_after)
values (%s, %s, 'scheduled', clock_timestamp() + make_interval(secs => %s))
"""

ENQUEUE = """
-- enqueue
insert into outbox.message (topic, key, payload) values (%s, %s, %s)
"""


class Eccentrics(Writers):
    """Writers of messages that are too large for their topic, of scheduled ones, and of ordinary ones between them."""

    def _kinds(self) -> list[Write]:
        return [*[self._plain] * 4, self._late, *[self._scheduled] * 3, *[self._poison] * 2, self._without_key]

    def _scheduled(self, connection: Connection, random_: random.Random) -> int:
        connection.execute(SCHEDULE, (self._topic, self._key(random_), round(random_.uniform(0, LONGEST_DELAY), 2)))
        connection.commit()
        return 1

    def _poison(self, connection: Connection, random_: random.Random) -> int:
        """Write some messages of a key with one among them that Kafka will never take."""
        connection.execute(LOCK, (key := self._key(random_),))
        for size in (10, LETTERS_TAKE * 2, 10):
            connection.execute(ENQUEUE, (self._topic, key, os.urandom(size)))
        connection.commit()
        return 3

    def _without_key(self, connection: Connection, _: random.Random) -> int:
        connection.execute(ENQUEUE, (self._topic, None, b"no key"))
        connection.commit()
        return 1


@contextmanager
def crowd(stage: Stage, seed: int) -> Iterator[None]:
    """Let writers of every kind write while the block lasts; afterwards nothing is left open."""
    writers = [
        _of(Writers, stage, "orders", seed, count=4),
        _of(Writers, stage, "orders", seed + 1, count=2, synchronous_commit="off"),
        _of(Writers, stage, "payments", seed + 2, count=2),
    ]
    try:
        yield
    finally:
        for each in writers:
            each.stop()
    settle_prepared(stage.url)


@contextmanager
def eccentrics(stage: Stage, seed: int) -> Iterator[None]:
    """Let in those who write what Kafka refuses: that alone makes a relay repeat what was beside it."""
    writers = _of(Eccentrics, stage, "letters", seed + 3, count=1)
    try:
        yield
    finally:
        writers.stop()


def _of(
    kind: type[Writers], stage: Stage, topic: str, seed: int, *, count: int, synchronous_commit: str = "on"
) -> Writers:
    return kind(
        stage.url,
        topic,
        seed,
        FOR_EVER,
        count,
        pause=PAUSE,
        synchronous_commit=synchronous_commit,
        stubborn=True,
    )
