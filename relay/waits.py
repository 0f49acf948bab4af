"""Who must wait behind held messages: decided row by row, in the order of the page. Pure.

Guarantees: a message is let through only when nothing older of its topic and key is held here and its topic is not
halted. It may hold too much, which costs a detour; never too little. Only the owner of a shard holds messages of it, so
what it remembers of its own holds misses none; it forgets a key or a topic only after a commit that left nothing of it.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field

from relay.hold import Hold, Scope
from relay.message import Batch, Row

Queue = tuple[int, str, str | None]
"""Shard, topic, and key; None for all of the topic."""


@dataclass(slots=True)
class Waits:
    """What is held in the shards of a relay, as far as others wait behind it."""

    queues: set[Queue] = field(default_factory=set)
    away: frozenset[str] = frozenset()
    """Topics that a failure halts, in any shard of anyone."""

    def add(self, hold: Hold) -> None:
        """Take note of a message that is held now."""
        shard, _, _, topic, key, *_ = hold.row
        if hold.scope is Scope.TOPIC:
            self.queues.add((shard, topic, None))
            if hold.failure is not None:
                self.away |= {topic}
        elif hold.scope is Scope.KEY:
            self.queues.add((shard, topic, key))

    def drop(self, shards: Collection[int]) -> None:
        """Forget shards that are ours no more."""
        self.queues = {queue for queue in self.queues if queue[0] not in shards}

    def behind(self, row: Row) -> Scope | None:
        """What a message has to wait behind; None when it may go.

        Its key comes first: a message that waits for a dead one of its key stays when its topic is back, and would keep
        the whole topic waiting if it were said to wait for that.
        """
        shard, _, _, topic, key, *_ = row
        if key is not None and (shard, topic, key) in self.queues:
            return Scope.KEY
        return Scope.TOPIC if topic in self.away or (shard, topic, None) in self.queues else None

    def sort_out(self, batch: Batch) -> tuple[Batch, list[Hold]]:
        """Part the messages that may go from those that have to wait."""
        if not self.queues and not self.away and not any(row[10] for rows in batch.rows.values() for row in rows):
            return batch, []
        holds: list[Hold] = []
        kept = {shard: list(self._going(rows, holds)) for shard, rows in batch.rows.items()}
        return Batch.of(kept), holds

    def _going(self, rows: Iterable[Row], holds: list[Hold]) -> Iterable[Row]:
        for row in rows:
            # One whose time is still to come blocks nobody, and is blocked by nobody until then.
            scope = Scope.NONE if row[10] else self.behind(row)
            if scope is None:
                yield row
            else:
                holds.append(Hold(row, scope))
