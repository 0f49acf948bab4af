"""What the relay does while Kafka has trouble: which shards wait, how much to send at a time. Decides; does no I/O.

An outage of any length counts for nothing against a message: nothing here ever gives up.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field

from relay.blame import Fault

FIRST_RETRY = 2.0
"""Seconds until a message that Kafka refused is tried again; they double."""

LAST_RETRY = {Fault.MESSAGE: 60.0, Fault.DESTINATION: 5.0}
"""Seconds that they double up to: a message that is refused will mostly be refused again until somebody acts, but a
topic that was away comes back by itself, and its backlog should not wait long for the relay to notice."""

MANY = 1_000
"""Messages of each shard at a time, above which sending less at a time is over."""

LONGEST_PAUSE = 1.0
"""Seconds between two attempts at most."""


@dataclass(frozen=True, slots=True)
class Wait:
    """A shard that waits behind a refused message."""

    until: float
    """When to try it again, in seconds of the caller's clock."""
    seconds: float
    """How long it waits this time."""


@dataclass(slots=True)
class StoppedShards:
    """The shards that wait behind a message that Kafka refuses."""

    waits: dict[int, Wait] = field(default_factory=dict)

    def stop(self, shard: int, now: float, fault: Fault) -> float:
        """Let a shard wait, twice as long as the last time in a row; return for how many seconds.

        Args:
            shard: which one.
            now: seconds of the caller's clock.
            fault: why: of the message, or of its destination.
        """
        last = self.waits.get(shard)
        seconds = min(last.seconds * 2, LAST_RETRY[fault]) if last else FIRST_RETRY
        self.waits[shard] = Wait(now + seconds, seconds)
        return seconds

    def due(self, now: float) -> list[int]:
        """Which shards to try again."""
        return [shard for shard, wait in self.waits.items() if wait.until <= now]

    def go_on(self, shards: Iterable[int]) -> None:
        """Let shards go on: their message was taken, or they are somebody else's."""
        for shard in shards:
            self.waits.pop(shard, None)

    def seconds_until_due(self, now: float) -> Collection[float]:
        """How long each shard still waits."""
        return [wait.until - now for wait in self.waits.values()]


@dataclass(slots=True)
class Setbacks:
    """What was learned from the last pages that Kafka did not take: send less at a time, after a pause.

    Less at a time, so that a slow link makes progress and an outage repeats little.
    """

    count: int = 0
    """How many pages in a row were not taken."""
    rows: int | None = None
    """At most so many messages of each shard at a time; None for as many as a page has."""

    def suffered(self, longest: int) -> float:
        """Take note of a page that was not taken, whose largest shard had `longest` messages; return a pause."""
        self.count += 1
        self.rows = max(1, longest // 4)
        return min(LONGEST_PAUSE, 0.05 * (1 << min(self.count, 10)))

    def overcome(self) -> None:
        """Take note of a page that was taken."""
        self.count = 0
        self.rows = None if self.rows is None or self.rows > MANY else self.rows * 4
