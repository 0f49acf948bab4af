"""What the relay does while Kafka has trouble: how much to send at a time, after what pause. Decides; does no I/O.

An outage of any length counts for nothing against a message: nothing here ever gives up.
"""

from dataclasses import dataclass

MANY = 1_000
"""Messages of each shard at a time, above which sending less at a time is over."""

LONGEST_PAUSE = 1.0
"""Seconds between two attempts at most."""


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
