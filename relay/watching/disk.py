"""How much disk the outbox takes, how fast its backlog grows, and when it is full at this rate. Decides purely.

Free space is PostgreSQL's host's to know and no statement's, so what the outbox may take is a setting, `disk_budget`.
What was sent is given back after the retention, so only the backlog grows without a bound: the runway is how long that
can go on. Growth is what was enqueued less what was recorded as sent in the last minutes, both from the checkpoints, so
any two who ask at once get the same answer and nobody has to remember anything. Write-ahead log is not counted.
"""

from dataclasses import dataclass
from typing import LiteralString

import psycopg

WINDOW_SECONDS = 300.0
"""Growth is that of so long; of longer where nothing was recorded meanwhile."""

UNKNOWN_BYTES = 500.0
"""What a message takes where there are too few to tell."""

EMPTY_BYTES = 40_960
"""What a slot takes without a row: a page for each of its three indexes, and for TOAST and its index."""

MANY = 1_000
"""Of fewer messages it says little what they take: half-filled pages weigh as much as they do."""

READ_DISK: LiteralString = """
-- read_disk: with indexes and TOAST. The growth is told from a snapshot of a while ago: what was enqueued since, by the
-- number of the sequence, and what was recorded as sent since; each shard's checkpoints are walked from the newest on.
with past as (
    (
        select drawn, created_at from outbox.snapshot
        where created_at <= clock_timestamp() - make_interval(secs => %(window)s) order by id desc limit 1
    )
    union all
    (select drawn, created_at from outbox.snapshot order by id limit 1)
    limit 1
), sent as (
    select coalesce(sum(c.sent), 0)::float8 as messages
    from past, generate_series(0, outbox.shard_count() - 1) as every(shard)
    cross join lateral (
        select sent from outbox.checkpoint
        where shard = every.shard::smallint and batch > coalesce((
            select batch from outbox.checkpoint
            where shard = every.shard::smallint and sent_at <= past.created_at order by batch desc limit 1
        ), 0)
    ) as c
), slots as (
    -- how many messages there are, by their numbers: from the lowest to the highest of each slot
    select coalesce(
               sum(pg_total_relation_size(format('outbox.message_%%s', slot)::regclass) - %(empty)s), 0
           )::float8 as bytes,
           coalesce(sum(highest - lowest + 1), 0)::float8 as messages
    from (
        select slot, min(lowest) as lowest, max(highest) as highest
        from generate_series(0, 7) as slot, generate_series(0, outbox.shard_count() - 1) as every(shard)
        cross join lateral (
            select seq from outbox.message
            where slot = slot.slot::smallint and shard = every.shard::smallint order by seq limit 1
        ) as first(lowest)
        cross join lateral (
            select seq from outbox.message
            where slot = slot.slot::smallint and shard = every.shard::smallint order by seq desc limit 1
        ) as last(highest)
        group by slot
    ) as of_slots
)
select slots.bytes, slots.messages, (
           select sum(pg_total_relation_size(c.oid))::bigint from pg_class c
           where c.relnamespace = 'outbox'::regnamespace and c.relkind = 'r'
       ),
       coalesce(pg_sequence_last_value('outbox.message_seq'::regclass), 0) - past.drawn,
       sent.messages, extract(epoch from clock_timestamp() - past.created_at)::float8
from past, sent, slots
"""


@dataclass(frozen=True, slots=True)
class Disk:
    """What the outbox takes, and how that changes.

    `bytes` is all of it on disk, `backlog_bytes` about what the pending messages take of that,
    `growth_bytes_per_hour` how fast they become more (below zero: fewer). `budget_bytes` is None where it is not set;
    `full_in_hours` is None then, and where the backlog does not grow.
    """

    bytes: int
    backlog_bytes: int
    growth_bytes_per_hour: float
    budget_bytes: int | None
    full_in_hours: float | None


@dataclass(frozen=True, slots=True)
class Change:
    """What happened of late: messages enqueued and sent within some seconds."""

    enqueued: float
    sent: float
    seconds: float


@dataclass(frozen=True, slots=True)
class Taken:
    """What is on disk: bytes of the whole outbox, bytes of its messages, and about how many those are."""

    bytes: int
    of_messages: float
    messages: float

    @property
    def message_bytes(self) -> float:
        """What a message takes, with its share of indexes."""
        return self.of_messages / self.messages if self.messages >= MANY else UNKNOWN_BYTES


def read_disk(connection: "psycopg.Connection") -> tuple[Taken, Change]:
    """Read how many bytes the outbox takes, and what became of its messages of late."""
    values = {"window": WINDOW_SECONDS, "empty": EMPTY_BYTES}
    ((of_messages, messages, taken, enqueued, sent, seconds),) = connection.execute(READ_DISK, values).fetchall()
    return Taken(taken, of_messages, messages), Change(enqueued, sent, seconds)


def runway(taken: Taken, change: Change, pending: int, budget: int | None) -> Disk:
    """Put together how long the disk lasts.

    Args:
        taken: what is on disk.
        change: what happened of late.
        pending: messages that are pending now.
        budget: bytes that the outbox may take.
    """
    size = taken.message_bytes
    # Numbers that a rollback has drawn are no messages: the backlog did not grow by more than there is of it.
    more = min(change.enqueued - change.sent, pending)
    growth = more * size / max(change.seconds, 1.0) * 3_600
    left = None if budget is None or growth <= 0 else max(0.0, budget - taken.bytes) / growth
    if budget is not None and taken.bytes >= budget:
        left = 0.0
    return Disk(taken.bytes, round(pending * size), growth, budget, left)
