"""A batch on its way to Kafka until it is known of every message whether it was published, must wait, or has failed.

First whole, through the lanes. A topic that cannot be written to is set aside with its messages, and the rest goes on.
Where one message is at fault, the batch is shared out and sent part by part, down to single messages: a poison message
costs its neighbours a few sendings. Decides nothing about a failure itself: that is the policy's.

Guarantees: messages of one key are published in the order of the batch, and none behind one that is set aside; what is
neither published nor set aside is told as stuck, with all that is behind it in its shard.
"""

import random
from collections import defaultdict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Protocol

from relay.hold import Failure, Hold
from relay.message import Batch, Row
from relay.policy import Policy
from relay.publishing.alone import Alone
from relay.publishing.outcome import Attempts, Delivered, Outcome
from relay.publishing.producer import StillOurs
from relay.waits import Waits

PARTS, FEW = 16, 40
"""Into how many parts a batch is shared out that a message spoils, and of how few each is sent alone. Each spoilt part
costs a new producer, each message alone a round trip: of 10,000 messages three parts are spoilt, and 40 go alone."""

NO_ATTEMPTS: Attempts = MappingProxyType({})


class Sender(Protocol):
    """Sends a batch whole, as fast as it goes."""

    def publish(self, batch: Batch, still_ours: StillOurs) -> Outcome:
        """Send it, and wait until Kafka has answered for every message of it."""

    def serve(self) -> None:
        """Hear what Kafka's client has to say while there is nothing to send."""

    def close(self) -> None:
        """Drop what is queued."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """Brings batches to Kafka."""

    lanes: Sender
    alone: Alone
    policy: Policy

    def close(self) -> None:
        """Drop what is queued."""
        self.lanes.close()
        self.alone.close()

    def serve(self) -> None:
        """Hear what Kafka's clients have to say while nothing is under way: until then they keep every word of it."""
        self.lanes.serve()
        self.alone.serve()

    def deliver(self, batch: Batch, waits: Waits, still_ours: StillOurs) -> Delivered:
        """Send a batch; who has to wait, also behind those that fail on the way, is set aside.

        Args:
            batch: what to send.
            waits: who has to wait; what is held here is added.
            still_ours: called at least every half second.

        Raises:
            Whatever `still_ours` raises; what was queued is taken back first.
        """
        under_way = UnderWay(self, waits, still_ours, NO_ATTEMPTS)
        under_way.send(batch)
        return under_way.delivered

    def retry(self, rows: Sequence[Row], attempts: Attempts, still_ours: StillOurs) -> Delivered:
        """Send messages that have failed before, each alone.

        Args:
            rows: what to send, in order.
            attempts: how often each of them failed.
            still_ours: called at least every half second.
        """
        under_way = UnderWay(self, Waits(), still_ours, attempts)
        # Kafka's word first: to wait in vain for a topic without a leader would hold up all other retries.
        away = self.alone.away({row[3] for row in rows}, others_went=False)
        for row in rows:
            if row[3] in away:
                under_way.fail(row, away[row[3]])
        under_way.send_alone([row for row in rows if row[3] not in away])
        return under_way.delivered


class UnderWay:
    """One batch while it is being delivered."""

    def __init__(self, delivery: Delivery, waits: Waits, still_ours: StillOurs, attempts: Attempts) -> None:
        self.delivered = Delivered()
        self._by = delivery
        self._waits = waits
        self._still_ours = still_ours
        self._attempts = attempts

    def send(self, batch: Batch) -> None:
        """Send a batch whole, and what Kafka did not take of it in other ways."""
        if self.delivered.broker:
            return self.delivered.leave(batch)
        going, waiting = self._waits.sort_out(batch)
        self.delivered.holds += waiting
        if going.count:
            self._send_whole(going)
        return None

    def _send_whole(self, batch: Batch) -> None:
        outcome = self._by.lanes.publish(batch, self._still_ours)
        self.delivered.published += [batch.rows[shard] for shard in outcome.published]
        rest = batch.without(outcome.published) if outcome.published else batch
        if not rest.count:
            return
        away = outcome.away
        if outcome.broker and not away:
            away = self._by.alone.away(outcome.unacknowledged or rest.topics, others_went=bool(outcome.unacknowledged))
        if away:
            self.send(self._without_away(rest, away))
        elif outcome.broker:
            self.delivered.broker = outcome.broker
            self.delivered.leave(rest)
        elif rest.count <= FEW:
            self.send_alone(sorted((row for rows in rest.rows.values() for row in rows), key=lambda row: row[1]))
        else:
            for part in rest.parts(PARTS):
                self.send(part)

    def _without_away(self, batch: Batch, away: dict[str, Failure]) -> Batch:
        """Fail the first message of each shard for a topic that is away: it will find out when the topic is back."""
        first: dict[tuple[int, str], Row] = {}
        for shard, rows in batch.rows.items():
            for row in rows:
                if row[3] in away:
                    first.setdefault((shard, row[3]), row)
        for row in first.values():
            self.fail(row, away[row[3]])
        failed = {row[1] for row in first.values()}
        return Batch.of({shard: [row for row in rows if row[1] not in failed] for shard, rows in batch.rows.items()})

    def send_alone(self, rows: Sequence[Row]) -> None:
        """Send messages each alone, one of each topic and key at a time."""
        queues: dict[Hashable, list[Row]] = defaultdict(list)
        for row in rows:
            queues[row[1] if row[4] is None else (row[3], row[4])].append(row)
        for turn in range(max(map(len, queues.values()), default=0)):
            if self.delivered.broker:
                return self.delivered.leave(_batch([row for queue in queues.values() for row in queue[turn:]]))
            self._still_ours()
            self._turn([queue[turn] for queue in queues.values() if len(queue) > turn])
        return None

    def _turn(self, rows: Sequence[Row]) -> None:
        going = []
        for row in rows:
            scope = self._waits.behind(row)
            if scope is None:
                going.append(row)
            else:
                self.delivered.holds.append(Hold(row, scope))
        answers = self._by.alone.publish(going, self._still_ours, doubted=bool(self._attempts))
        self.delivered.published.append([row for row in going if answers.found.get(row[1], row) is None])
        for row in going:
            if failure := answers.found.get(row[1]):
                self.fail(row, failure)
        self.delivered.broker = answers.broker
        if answers.broker:
            self.delivered.leave(_batch([row for row in going if row[1] not in answers.found]))

    def fail(self, row: Row, failure: Failure) -> None:
        """Set a message aside that has failed."""
        chance = random.random()  # noqa: S311 - spreads load, keeps no secret
        hold = self._by.policy.failed(row, failure, self._attempts.get(row[1], 0), chance)
        self._waits.add(hold)
        self.delivered.holds.append(hold)


def _batch(rows: Sequence[Row]) -> Batch:
    """Group messages by shard again."""
    shards: dict[int, list[Row]] = defaultdict(list)
    for row in rows:
        shards[row[0]].append(row)
    return Batch.of({shard: sorted(of, key=lambda row: row[1]) for shard, of in shards.items()})
