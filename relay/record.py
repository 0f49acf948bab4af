"""What of a relay's shards is done: in memory as soon as it is, on disk when it is time or when it must be.

Guarantees: a message that is set aside is recorded in the commit that passes over it, before anything else happens; a
shard that is taken up or given up is recorded at once.
"""

import time
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field

from relay import events
from relay.holding.custody import Custody, settled_of
from relay.message import Page, Position, Row
from relay.publishing.outcome import Delivered
from relay.reading.checkpoint import Checkpoints
from relay.reading.progress import Progress, floor_is_old


@dataclass(frozen=True, slots=True)
class Pace:
    """When to checkpoint.

    Args:
        checkpoint_seconds: at least so long between two checkpoints,
        checkpoint_messages: unless so many messages were published.
    """

    checkpoint_seconds: float
    checkpoint_messages: int


@dataclass(slots=True)
class Record:
    """The positions of the shards that a relay leases, and what it holds of them."""

    checkpoints: Checkpoints
    """On the session that holds the leases, so that both are lost together."""
    custody: Custody
    pace: Pace
    tell: events.Tell
    published: int = 0
    """Messages that Kafka has acknowledged, held ones aside."""
    progress: Progress = field(default_factory=Progress)

    @property
    def positions(self) -> dict[int, Position]:
        """Where the shards stand."""
        return self.progress.positions

    @property
    def floor(self) -> int:
        """The floor that may go with a snapshot taken from now on."""
        return self.checkpoints.floor

    def begin(self, shards: frozenset[int]) -> None:
        """Take up shards where their last checkpoint left them.

        They are recorded once more at once: that makes a floor of now, without which the first difference would be
        followed by a read through all the history above the old one, and any other relay that believes to own one
        of these shards is refused from here on.
        """
        positions = self.checkpoints.load(shards)
        self.checkpoints.append(positions, {})
        self.custody.take(shards)
        self.progress.add(positions)

    def end(self, shards: Collection[int], give_up: Callable[[Collection[int]], None]) -> None:
        """Record all, and forget shards once `give_up` has given up their leases."""
        self.write()
        self.custody.give_up(shards)
        give_up(shards)
        self.checkpoints.drop(shards)
        self.progress.drop(shards)

    def settle(self, page: Page, delivered: Delivered, passed: Sequence[Row]) -> None:
        """Move behind what was published of a page, has to wait or was passed over."""
        unpublished = settled_of(delivered) + Counter(row[0] for row in passed if not _beyond(row, delivered))
        self.progress.settle(page, delivered.stuck, unpublished)
        self._settled(page, delivered)

    def settle_behind(self, topic: str, page: Page, delivered: Delivered) -> None:
        """The same of a page of a topic that is behind, whose trail moves and not its shard."""
        self.checkpoints.trails.move(topic, page, delivered.stuck, self.positions)
        published = Counter(row[0] for rows in delivered.published for row in rows if not _beyond(row, delivered))
        for shard in page.after:
            self.progress.unrecorded[shard] = self.progress.unrecorded.get(shard, 0) + published[shard]
        self._settled(page, delivered)

    def note(self, shards: Collection[int]) -> None:
        """Have shards recorded when it is time, though no message of theirs was published."""
        for shard in shards:
            self.progress.unrecorded.setdefault(shard, 0)

    def note_ended_trails(self) -> None:
        """Have the end of trails recorded: else it would be only with the next message of their shard."""
        ended = self.checkpoints.trails.ended
        self.note(ended)
        ended.clear()

    def write_when_due(self) -> None:
        """Append a checkpoint if it is time."""
        if self.seconds_until_due() == 0:
            self.write()

    def write(self) -> None:
        """Append a checkpoint of every shard that has moved by a message."""
        sent = self.progress.unrecorded
        if sent:
            self._append({shard: self.positions[shard] for shard in sent}, dict(sent))

    def renew_floor(self, page: Page) -> None:
        """Append a checkpoint though nothing was sent, when every read would wade through what nobody can see yet."""
        waited = time.monotonic() - self.progress.since >= self.pace.checkpoint_seconds
        if waited and floor_is_old(page.sequence, self.floor):
            self._append(self.positions, dict(self.progress.unrecorded))

    def seconds_until_due(self) -> float | None:
        """Seconds until the next checkpoint is due; None while there is nothing to record."""
        return self.progress.wait(time.monotonic(), self.pace.checkpoint_seconds, self.pace.checkpoint_messages)

    def _settled(self, page: Page, delivered: Delivered) -> None:
        """Tell what was published; what has to wait is recorded before anything else happens."""
        if delivered.count:
            self.published += delivered.count
            self.tell(events.Published(delivered.published))
        if holds := delivered.settled():
            moved = {shard: self.positions[shard] for shard in (*page.rows, *self.progress.unrecorded)}
            self._append(moved, dict(self.progress.unrecorded), lambda: self.custody.write(holds))
            self.custody.note(holds)
        if again := delivered.unsettled():
            self.custody.forget(again)

    def _append(
        self, positions: Mapping[int, Position], sent: dict[int, int], also: Callable[[], None] | None = None
    ) -> None:
        self.checkpoints.append(positions, sent, also)
        self.progress.recorded(time.monotonic())
        self.tell(events.Checkpointed(len(positions), sum(sent.values())))


def _beyond(row: Row, delivered: Delivered) -> bool:
    """Whether a message stands behind a stuck one of its shard, and is read once more."""
    return row[1] >= delivered.stuck.get(row[0], row[1] + 1)
