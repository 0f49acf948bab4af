"""The held messages of the shards that a relay leases: who waits behind them, sending them again, and settling them.

Guarantees: what is held is recorded before anything behind it is let through; a key or a topic is free again only after
the commit that settled its last held message. Beyond a bound nothing more is read, so that an outage fills no table.
"""

import time
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace

from relay import events
from relay.blame import Fault
from relay.hold import Hold, Scope
from relay.holding.held import Due, Held
from relay.holding.retries import LOOK_SECONDS, Retried, Retries
from relay.message import Row
from relay.publishing.outcome import Delivered
from relay.waits import Queue, Waits

COUNT_SECONDS = 1.0
"""Between two counts of what waits, while anything does."""

COUNT_SHARE = 20
"""Counting takes at most one part in so many of the loop's time: what waits may be a hundred thousand messages."""

AGAIN_SECONDS = 60.0
"""Between two times of telling that the same topic is still away."""

PARTING_SECONDS = 2.0
"""What held messages under way are granted when their shards are given up; then they are left for the next relay. They
may take two more to be called off, and a relay that is told to stop ends in any case some seconds later."""


@dataclass(slots=True)
class Custody:
    """The held messages of one relay."""

    held: Held
    retries: Retries
    limit: int
    """Of each topic: so many may wait in order, in all shards, before reading stops."""
    tell: events.Tell
    waits: Waits = field(default_factory=Waits)
    published: int = 0
    """How many held messages were published."""
    _counts: Counter[str] = field(default_factory=Counter)
    """How many messages of each topic wait in order: as counted last, and what was added since."""
    _told_away: dict[str, float] = field(default_factory=dict)
    """When it was last told that a topic is away."""
    _next_count: float = 0.0
    _full: dict[str, int] = field(default_factory=dict)

    @property
    def full(self) -> bool:
        """Whether so much is held that nothing more may be read."""
        return bool(self._full)

    def take(self, shards: Collection[int]) -> None:
        """Begin with shards that were leased; they count from their last checkpoint on."""
        self.waits.queues |= self.held.load(shards)
        self.retries.look_soon(sweep=True)

    def give_up(self, shards: Collection[int]) -> None:
        """End with shards that are about to be given up: nothing of theirs is under way any more."""
        self.retries.patiently(PARTING_SECONDS)
        self._settle_finished()
        self.waits.drop(shards)

    def write(self, holds: Sequence[Hold]) -> None:
        """Write what is set aside, within the commit that passes over it."""
        self.held.write(holds)

    def note(self, holds: Sequence[Hold]) -> None:
        """Take note of messages that are set aside and recorded."""
        for hold in holds:
            self.waits.add(hold)
        self._counts.update(hold.row[3] for hold in holds if hold.scope is not Scope.NONE)
        self._judge_fullness()
        self.retries.look_soon()
        self._tell_of(holds)

    def forget(self, holds: Sequence[Hold]) -> None:
        """Take back what was noted of messages that are not set aside after all: a stuck one stands before them.

        They are read once more. If something still seemed to be held of their keys and topics, they would be set aside
        behind nobody, and go by a detour.
        """
        queues = self._perhaps_free(hold.row for hold in holds)
        self.waits.queues -= queues - self.held.left(queues)
        self.retries.look_soon()

    def tend(self, shards: Collection[int]) -> None:
        """Record what was sent again, and send what is due. Returns soon; call it often.

        Raises:
            psycopg.Error: the session is lost.
        """
        self._settle_finished()
        if not shards:
            return
        found = self.retries.look(shards)
        if found is not None:
            self.waits.away = found.away
            self._tell_of_returns(found.away)
            self._count_when_due()

    def _count_when_due(self) -> None:
        now = time.monotonic()
        if (self.waits.queues or self._counts) and now >= self._next_count:
            self._counts = Counter(self.held.count())
            took = time.monotonic() - now
            self._next_count = now + max(COUNT_SECONDS, COUNT_SHARE * took)
            self._judge_fullness()

    def _settle_finished(self) -> None:
        retried = self.retries.finished()
        if retried is not None and retried.due.rows:
            self._settle(retried)

    def _settle(self, retried: Retried) -> None:
        delivered = retried.delivered
        sent = [row for rows in delivered.published for row in rows]
        failed = [self._judged(hold, retried.due) for hold in delivered.holds if hold.failure is not None]
        queues = self._perhaps_free([*sent, *(hold.row for hold in failed)])
        self.waits.queues -= queues - self.held.settle(retried.due, sent, failed, queues)
        for hold in failed:
            self.waits.add(hold)
        self.published += len(sent)
        frees = bool(sent) or any(hold.scope is not Scope.TOPIC for hold in failed)
        # Kafka may refuse at once, again and again: then not sooner than for an operator's sake.
        self.retries.look_soon(sweep=frees, seconds=LOOK_SECONDS if delivered.broker else 0.0)
        if delivered.broker:
            self.tell(events.BrokerSilent(delivered.broker, len(retried.due.rows), 1))
        if sent:
            self.tell(events.HeldPublished(sent))
        self._tell_of(failed)

    def _judged(self, hold: Hold, due: Due) -> Hold:
        return replace(hold, scope=Scope.NONE) if hold.row[1] in due.replays else hold

    def _perhaps_free(self, rows: Iterable[Row]) -> set[Queue]:
        """The keys and topics that others wait behind, and that these messages may have been the last of."""
        queues: set[Queue] = set()
        for shard, _, _, topic, key, *_ in rows:
            queues |= {(shard, topic, key), (shard, topic, None)}
        return queues & self.waits.queues

    def _judge_fullness(self) -> None:
        full = {topic: count for topic, count in self._counts.items() if count >= self.limit}
        if bool(full) != self.full:
            self.tell(events.ReadingPaused(full, self.limit) if full else events.ReadingResumed())
        self._full = full

    def _tell_of(self, holds: Sequence[Hold]) -> None:
        for hold in holds:
            if hold.failure is None:
                continue
            if hold.failure.fault is not Fault.DESTINATION:
                self.tell(events.MessageFailed(hold))
            elif time.monotonic() - self._told_away.get(hold.row[3], -AGAIN_SECONDS) >= AGAIN_SECONDS:
                self._told_away[hold.row[3]] = time.monotonic()
                self.tell(events.TopicAway(hold))
        if holds:
            self.tell(events.MessagesHeld(holds))

    def _tell_of_returns(self, away: Collection[str]) -> None:
        for topic in [topic for topic in self._told_away if topic not in away]:
            del self._told_away[topic]
            self.tell(events.TopicBack(topic))


def settled_of(delivered: Delivered) -> Counter[int]:
    """How many messages of each shard are set aside for good."""
    return Counter(hold.row[0] for hold in delivered.settled())
