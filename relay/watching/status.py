"""How far the relays are: what is pending, how old, how large, and which relay holds which shard. Reads only.

Guarantees: needs no Kafka; answers in under a second however deep the backlog, for it counts no further than `COUNTED`
messages in all unless told to, and says so. What it counts is exactly what the reader would still read: the committed
rows that the newest checkpoint of their shard does not cover. Those published since that checkpoint are among them.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import LiteralString

import psycopg

from relay import locks, revision
from relay.connection import connect, first_line, pin
from relay.errors import DatabaseUnfit, DatabaseUnreachable, WorkFailed
from relay.leasing.fleet import sessions
from relay.leasing.silence import HEALTHY_SECONDS, Session, by_relay, silence
from relay.reading.plan import walk_indexes
from relay.restoring.unsent import demand_positions
from relay.watching.disk import Change, Disk, Taken, read_disk, runway
from relay.watching.held_counts import BlockedKeys, HeldCounts, read_blocked, read_held

COUNTED = 80_000
"""How many pending messages are counted at most, divided evenly among the shards."""

PATIENCE = "5s"
"""How long a count may take: one transaction that writes millions of rows hides the pending ones among its own."""

COUNT: LiteralString = """
-- read_pending: per shard, the rows that are visible now and not covered by its newest checkpoint, up to a number.
-- Three ranges make up all of them: above both marks; below, of the transactions that a snapshot lists as in progress;
-- and between the target's floor and upto, of those that the target does not know at all.
-- Where topics are behind their shard (paused, or over their rate), each is counted from where it stands itself.
with newest as (
    select newest.shard, newest.sent_at, newest.upto, newest.ahead, seen.taken as seen, seen.floor,
           target.taken as target, target.floor as target_floor
    from generate_series(0, outbox.shard_count() - 1) as every(shard)
    cross join lateral (
        select * from outbox.checkpoint where shard = every.shard::smallint order by batch desc limit 1
    ) as newest
    join outbox.snapshot as seen on seen.id = newest.seen
    left join outbox.snapshot as target on target.id = newest.target
), position as (
    select shard, sent_at, null as topic, null::jsonb as behind, seen, floor, target, target_floor, upto
    from newest where ahead is null
    union all
    select shard, sent_at, each.topic, each.behind, (each.at ->> 'seen')::pg_snapshot, (each.at ->> 'floor')::bigint,
           (each.at ->> 'target')::pg_snapshot, (each.at ->> 'target_floor')::bigint, (each.at ->> 'upto')::bigint
    from newest
    cross join lateral (
        select null as topic, ahead -> 'behind' as behind, ahead -> 'main' as at
        union all
        select key, null, value from jsonb_each(ahead -> 'behind')
    ) as each
    where ahead is not null
)
select p.shard, p.sent_at, count(due.created_at),
       extract(epoch from clock_timestamp() - min(due.created_at))::float8,
       max(coalesce(pg_sequence_last_value('outbox.message_seq'::regclass), 0) - greatest(p.floor, p.upto))
from position as p
left join lateral (
    (
        select created_at from outbox.message
        where shard = p.shard and seq > greatest(p.floor, p.upto) and not pg_visible_in_snapshot(xid, p.seen)
          and {which}
        order by seq limit %(limit)s
    )
    union all
    (
        select late_row.created_at
        from (select pg_snapshot_xip(p.seen) union select pg_snapshot_xip(p.target)) as late(xid)
        cross join lateral (
            select created_at from outbox.message
            where xid = late.xid and shard = p.shard and seq <= greatest(p.floor, p.upto)
              and seq > case when pg_visible_in_snapshot(late.xid, p.target) then p.upto else 0 end
              and {which}
            order by seq limit %(limit)s
        ) as late_row
        limit %(limit)s
    )
    union all
    (
        select created_at from outbox.message
        where shard = p.shard and seq > greatest(p.floor, p.target_floor) and seq <= p.upto
          and xid >= pg_snapshot_xmax(p.target)
          and {which}
        order by seq limit %(limit)s
    )
) as due on true
group by p.shard, p.sent_at
order by p.shard
""".replace(
    "{which}", "(p.topic is null or topic = p.topic) and (p.behind is null or not p.behind ? topic) and {which}"
)

READ_PENDING: LiteralString = COUNT.replace("{which}", "topic <> all (%(paused)s::text[])")

READ_PAUSED: LiteralString = COUNT.replace("read_pending", "read_paused").replace(
    "{which}", "topic = any (%(paused)s::text[])"
)
"""The same of the topics that are paused, whose messages wait for an operator and not for a relay."""

READ_PAUSED_TOPICS = """
-- read_paused_topics
select topic from outbox.topic_rule where paused_at is not null
"""

READ_HOLDERS = """
-- read_holders: every live relay by its sessions' name, with a shard for each lease and null for its membership
select pid, coalesce(application_name, ''), case when classid::bigint = %(lease)s then objid::int end
from pg_locks
join pg_stat_activity using (pid)
where locktype = 'advisory' and objsubid = 2 and granted
  and database = (select oid from pg_database where datname = current_database())
  and (classid::bigint = %(lease)s or classid::bigint = %(member)s and objid = 0)
order by application_name, pid, objid
"""

READ_SHARDS = """
-- read_shard_count
select outbox.shard_count()
"""


@dataclass(frozen=True, slots=True)
class RelayStatus:
    """A live relay and the shards that it holds.

    `silent_seconds` is for how long its loop has sent no statement, by the database's clock; it is `healthy` while that
    is short. Both are None where the role may not see it.
    """

    name: str
    shards: Sequence[int]
    silent_seconds: float | None
    healthy: bool | None


@dataclass(frozen=True, slots=True)
class ShardStatus:
    """One shard: who holds it (None: nobody), how much is pending, and when its progress was last recorded."""

    shard: int
    relay: str | None
    pending: int
    pending_capped: bool
    checkpoint_at: datetime


@dataclass(frozen=True, slots=True)
class Status:
    """The state of the outbox at one moment.

    `pending` is a lower bound where `pending_capped`; `pending_estimate` then says about how many there are, else the
    same. `oldest_pending_seconds` is the age of the oldest of the pending messages that were counted, None when there
    are none. `held` counts messages that are set aside, by state; a lower bound where `held_capped`. `blocked` says how
    many keys wait behind a message that failed.
    """

    pending: int
    pending_capped: bool
    pending_estimate: int
    oldest_pending_seconds: float | None
    held: Mapping[str, int]
    held_capped: bool
    paused: int
    """Messages that wait because an operator has paused their topic; not among the pending."""
    blocked: BlockedKeys
    disk: Disk
    relays: Sequence[RelayStatus]
    shards: Sequence[ShardStatus]


def read(database_url: str, *, most: int = COUNTED, disk_budget: int | None = None) -> Status:
    """Read the state of the outbox.

    Args:
        database_url: a libpq URL.
        most: how many pending messages are counted at most.
        disk_budget: how many bytes the outbox may take, if that is set.

    Raises:
        DatabaseUnreachable: PostgreSQL does not answer.
        DatabaseUnfit: it cannot serve a relay, or the role may not read the outbox.
        SchemaError: the outbox is missing, too old or too new.
        PositionsForeign: nobody knows what is pending.
        WorkFailed: counting took longer than `PATIENCE`.
    """
    with connect(database_url, "status") as connection:
        try:
            revision.check(connection).demand()
            return look(connection, most, disk_budget)
        except psycopg.errors.InsufficientPrivilege as error:
            raise DatabaseUnfit(
                f"role {connection.info.user} may not read the outbox ({first_line(error)}); "
                "status needs membership of outbox_operator or outbox_relay; or usage on schema outbox, select on "
                "outbox.message, outbox.held_state, outbox.checkpoint, outbox.snapshot, outbox.topic_rule, "
                "outbox.schema_version and the sequence outbox.message_seq, and execute on outbox.shard_count"
            ) from None
        except psycopg.errors.QueryCanceled:
            raise WorkFailed(
                f"pending messages were not counted within {PATIENCE}: a transaction that is still open has written "
                "very many rows (see pg_stat_activity, xact_start); nothing is wrong with the outbox, try again later"
            ) from None
        except psycopg.OperationalError as error:
            raise DatabaseUnreachable(f"the session was lost: {first_line(error)}; try again") from None


def look(connection: "psycopg.Connection", most: int, disk_budget: int | None) -> Status:
    """Read the state of the outbox on a session that is used for nothing else.

    Args:
        connection: the session; it is left with settings of its own.
        most: as for `read`.
        disk_budget: as for `read`.

    Raises:
        psycopg.Error: the role may not read it, or the session was lost.
        PositionsForeign: nobody knows what is pending.
    """
    walk_indexes(connection)
    pin(connection, "statement_timeout", PATIENCE)
    demand_positions(connection)
    (shards,) = connection.execute(READ_SHARDS).fetchall()[0]
    limit = max(1, most // shards)
    holders = connection.execute(READ_HOLDERS, {"lease": locks.LEASE, "member": locks.MEMBER}).fetchall()
    paused = [topic for (topic,) in connection.execute(READ_PAUSED_TOPICS).fetchall()]
    asked = {"limit": limit, "paused": paused}
    counts = connection.execute(READ_PENDING, asked).fetchall()
    stopped = connection.execute(READ_PAUSED, asked).fetchall() if paused else []
    beside = Beside(
        read_held(connection),
        read_blocked(connection),
        *read_disk(connection),
        disk_budget,
        sum(count for _, _, count, *_ in stopped),
    )
    return summarise(holders, sessions(connection), counts, limit, beside)


@dataclass(frozen=True, slots=True)
class Beside:
    """What was read beside the pending messages of each shard."""

    held: HeldCounts
    blocked: BlockedKeys
    taken: Taken
    change: Change
    disk_budget: int | None
    paused: int = 0
    """How many messages of paused topics wait, counted as far as those that are pending."""


Count = tuple[int, datetime, int, float | None, int]
"""Of a shard: its number, the time of its newest checkpoint, pending messages, age of the oldest in seconds, and how
many numbers were drawn since its position (the oldest, where topics are behind), by messages of all shards."""


def summarise(
    holders: Iterable[tuple[int, str, int | None]],
    fleet: Iterable[Session],
    counts: Sequence[Count],
    limit: int,
    beside: Beside,
) -> Status:
    """Put together what was read; pure.

    Args:
        holders: process id, application name and shard (None: membership) of each lock.
        fleet: the sessions of all relays.
        counts: what was counted of each shard.
        limit: up to how many messages of a shard were counted in each of the ranges.
        beside: what is held, and what is on disk.
    """
    names: dict[int, str] = {}
    leases: dict[int, int] = {}
    for pid, application, shard in holders:
        names[pid] = application.removeprefix(f"{locks.APPLICATION} ")
        if shard is not None:
            leases[shard] = pid
    silent = {relay: silence(own) for relay, own in by_relay(fleet).items()}
    rows = [
        ShardStatus(shard, names.get(leases.get(shard, 0)), min(pending, limit), pending >= limit, checkpoint_at)
        for shard, checkpoint_at, pending, *_ in counts
    ]
    estimate = sum(
        max(row.pending, drawn // len(rows)) if row.pending_capped else row.pending
        for row, (*_, drawn) in zip(rows, counts, strict=True)
    )
    return Status(
        pending=sum(row.pending for row in rows),
        pending_capped=any(row.pending_capped for row in rows),
        pending_estimate=estimate,
        oldest_pending_seconds=max((max(0.0, age) for *_, age, _ in counts if age is not None), default=None),
        held=beside.held.states,
        held_capped=beside.held.capped,
        paused=beside.paused,
        blocked=beside.blocked,
        disk=runway(beside.taken, beside.change, estimate, beside.disk_budget),
        relays=[
            _relay(name, sorted(shard for shard, holder in leases.items() if holder == pid), silent.get(pid))
            for pid, name in names.items()
        ],
        shards=rows,
    )


def _relay(name: str, shards: Sequence[int], silent: float | None) -> RelayStatus:
    return RelayStatus(name, shards, silent, None if silent is None else silent <= HEALTHY_SECONDS)
