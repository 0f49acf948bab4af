"""Topics that are paused or over their rate: what is passed over of a page, and which of them goes on next.

Decides; does no I/O. Guarantees: whatever is passed over is on a trail before its page counts as settled; every topic
that may go on has its turn before another has its second.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from relay.flow import Flow
from relay.message import Batch, Page, Position, Row
from relay.publishing.outcome import Delivered
from relay.reading.trails import Trails

LEAST_WAIT_SECONDS = 0.005
"""Until a topic that may go on is looked at again: it may have to wait for its shard."""


@dataclass(frozen=True, slots=True)
class Turn:
    """What is to be read of one topic now."""

    topic: str
    positions: Mapping[int, Position]
    room: int | None
    """At most so many messages; None for as many as a page has."""


@dataclass(slots=True)
class Behind:
    """The topics of one relay that are not as far as their shards."""

    trails: Trails
    flow: Flow
    _followed: str = ""
    """The topic that had its turn last."""

    def part(self, page: Page) -> tuple[Batch, list[Row]]:
        """Part what may go of a page from what is paused, over its rate, or of a topic that is behind already."""
        if not self.trails and not self.flow.governs:
            return page.batch, []
        parts = {shard: self.flow.part(rows, self.trails.of.get(shard, ())) for shard, rows in page.rows.items()}
        passed = [row for _, left in parts.values() for row in left]
        return (Batch.of({shard: going for shard, (going, _) in parts.items()}), passed) if passed else (page.batch, [])

    def leave(self, page: Page, passed: Sequence[Row], delivered: Delivered) -> frozenset[int]:
        """Let topics have a trail where messages were passed over; return the shards in which one has begun."""
        first: dict[tuple[int, str], int] = {}
        for row in passed:
            if not self.trails.has(row[0], row[3]):
                first.setdefault((row[0], row[3]), row[1])
        return self.trails.begin(page, first, delivered.stuck)

    def next_turn(self, main: Mapping[int, Position]) -> Turn | None:
        """Choose the topic that goes on now; None when none may, or every one has caught up.

        Args:
            main: where the shards stand.
        """
        topics = sorted(self.trails.topics)
        in_turn = [topic for topic in topics if topic > self._followed] + topics
        for topic in in_turn[: len(topics)]:
            room = self.flow.worth_a_read(topic)
            if room == 0:
                continue
            if positions := self.trails.follow(topic, main):
                self._followed = topic
                return Turn(topic, positions, room)
        return None

    def waits(self) -> Iterable[float]:
        """Seconds until each of them may go on."""
        return (max(LEAST_WAIT_SECONDS, self.flow.seconds_until(topic)) for topic in self.trails.topics)
