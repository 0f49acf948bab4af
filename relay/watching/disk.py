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
"""What a message takes where none is pending that could be looked at."""

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
)
select (
           select sum(pg_total_relation_size(c.oid))::bigint from pg_class c
           where c.relnamespace = 'outbox'::regnamespace and c.relkind = 'r'
       ),
       coalesce(pg_sequence_last_value('outbox.message_seq'::regclass), 0) - past.drawn,
       sent.messages, extract(epoch from clock_timestamp() - past.created_at)::float8
from past, sent
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


def read_disk(connection: "psycopg.Connection") -> tuple[int, Change]:
    """Read how many bytes the outbox takes, and what became of its messages of late."""
    ((taken, enqueued, sent, seconds),) = connection.execute(READ_DISK, {"window": WINDOW_SECONDS}).fetchall()
    return taken, Change(enqueued, sent, seconds)


def runway(taken: int, change: Change, pending: int, message_bytes: float | None, budget: int | None) -> Disk:
    """Put together how long the disk lasts.

    Args:
        taken: bytes of the whole outbox on disk.
        change: what happened of late.
        pending: messages that are pending now.
        message_bytes: what one of them takes on average; None where that is not known.
        budget: bytes that the outbox may take.
    """
    size = UNKNOWN_BYTES if message_bytes is None else message_bytes
    # Numbers that a rollback has drawn are no messages: the backlog did not grow by more than there is of it.
    more = min(change.enqueued - change.sent, pending)
    growth = more * size / max(change.seconds, 1.0) * 3_600
    left = None if budget is None or growth <= 0 else max(0.0, budget - taken) / growth
    if budget is not None and taken >= budget:
        left = 0.0
    return Disk(taken, round(pending * size), growth, budget, left)
