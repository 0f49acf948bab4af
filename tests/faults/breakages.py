"""Promises broken on purpose, in the relay's own process: what the campaign must notice, or it proves nothing.

Each replaces one thing of the relay by what somebody might have written instead. They are here and not in the relay: no
setting of the product can break a promise.
"""

from collections.abc import Callable, Collection, Mapping
from typing import Any

from confluent_kafka import Producer

from relay.leasing import lease
from relay.message import Batch, Page, Position
from relay.publishing import lane
from relay.publishing.delivery import Delivery
from relay.publishing.outcome import Delivered
from relay.publishing.producer import StillOurs
from relay.reading.checkpoint import READ_FLOOR
from relay.reading.reader import Reader
from relay.waits import Waits


def checkpoint_before_acknowledgement() -> None:
    """Take for published what was handed to the client: whoever is killed then loses what the client still had."""

    def hand_over(producer: Producer, *_: Any) -> None:
        producer.flush(0.001)

    vars(lane).update(settle=hand_over)


def floor_of_now() -> None:
    """Pair a snapshot with the number drawn last: who runs unknown to the snapshot may have drawn a lower one."""
    read = Reader.read

    def read_with_a_floor_of_now(reader: Reader, positions: Mapping[int, Position], _: int, **how: Any) -> Page:
        found = reader._connection.execute(READ_FLOOR).fetchone()
        assert found is not None
        return read(reader, positions, found[0], **how)

    type.__setattr__(Reader, "read", read_with_a_floor_of_now)


def lease_not_checked() -> None:
    """Take every shard, whoever has it."""

    def decide(me: int, _: Collection[int], holders: Mapping[int, int], shards: int) -> lease.Change:
        mine = {shard for shard, holder in holders.items() if holder == me}
        return lease.Change(take=frozenset(range(shards)) - mine)

    shared = lease.TAKE.replace("pg_try_advisory_lock(", "pg_try_advisory_lock_shared(")
    vars(lease).update(decide=decide, TAKE=shared)


def held_key_forgotten() -> None:
    """Judge each page by what was held when the page before it began: what that one set aside is forgotten."""
    deliver = Delivery.deliver
    known: dict[int, Waits] = {}

    def deliver_as_known_before(delivery: Delivery, batch: Batch, waits: Waits, still_ours: StillOurs) -> Delivered:
        before = known.get(id(delivery), Waits())
        known[id(delivery)] = Waits(set(waits.queues), waits.away)
        return deliver(delivery, batch, before, still_ours)

    type.__setattr__(Delivery, "deliver", deliver_as_known_before)


BREAKAGES: Mapping[str, Callable[[], None]] = {
    each.__name__: each
    for each in (checkpoint_before_acknowledgement, floor_of_now, lease_not_checked, held_key_forgotten)
}
