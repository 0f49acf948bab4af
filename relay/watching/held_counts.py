"""How much is set aside, by state, and how many keys a failed message blocks. Reads only.

Guarantees: the same states as `outbox.held_state`, told in a fraction of a second of a million held messages: each kind
is counted no further than a number, so that none hides another, and who is in the way of a whole topic is looked up
once for each topic instead of once for each message. The view is asked and not its table, for more may look than may
read payloads; of its states nothing is asked, so they are not worked out.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import LiteralString

import psycopg

COUNTED = 20_000
"""Of each kind, at most so many are counted."""

READ_HELD: LiteralString = """
-- read_held: by kind, each along its own index and up to a number, so that no kind hides another
with halted as materialized (
    select topic, min(seq) as seq, min(seq) filter (where fault = 'destination') as away_seq
    from outbox.held_state
    where settled_as is null and failed_at is not null and scope = 'topic'
    group by topic
), shards as materialized (
    select every::smallint as shard from generate_series(0, outbox.shard_count() - 1) as every
), dead as (
    select 'dead' as state
    from shards cross join lateral (
        select 1 from outbox.held_state h
        where h.shard = shards.shard and h.settled_as is null and h.due_at = 'infinity' limit %(most)s
    ) as one limit %(most)s
), scheduled as (
    select case when one.replay is null then 'scheduled' else 'replaying' end
    from shards cross join lateral (
        select h.replay from outbox.held_state h
        where h.shard = shards.shard and h.settled_as is null and h.due_at > statement_timestamp()
          and h.due_at < 'infinity' and h.failed_at is null limit %(most)s
    ) as one limit %(most)s
), failed as (
    select case when h.replay is not null then 'replaying'
                when exists (select from halted where halted.topic = h.topic and halted.away_seq <= h.seq)
                then 'unreachable' else 'retrying' end
    from outbox.held_state h
    where h.settled_as is null and h.failed_at is not null and not h.dead limit %(most)s
), waiting as (
    select case when one.replay is not null then 'replaying'
                when exists (select from halted where halted.topic = one.topic and halted.away_seq <= one.seq)
                then 'unreachable'
                when exists (select from halted where halted.topic = one.topic and halted.seq < one.seq) then 'blocked'
                when (
                    select true from outbox.held_state first
                    where first.settled_as is null and first.failed_at is not null
                      and first.topic = one.topic and first.scope = 'key' and first.key_hash = one.key_hash
                      and first.key = one.key and first.seq < one.seq
                    order by first.seq limit 1
                ) then 'blocked'
                else 'pending' end
    from shards cross join lateral (
        select h.topic, h.key, h.key_hash, h.seq, h.replay from outbox.held_state h
        where h.shard = shards.shard and h.settled_as is null and h.due_at <= statement_timestamp()
          and h.failed_at is null limit %(most)s
    ) as one limit %(most)s
)
select state, sum(number)::bigint, bool_or(kind_number >= %(most)s)
from (
    select state, count(*) as number, sum(count(*)) over (partition by kind) as kind_number
    from (
        select 1, state from dead union all select 2, * from scheduled
        union all select 3, * from failed union all select 4, * from waiting
    ) as every_one(kind, state)
    group by kind, state
) as counted
group by state order by state
"""

READ_BLOCKED: LiteralString = """
-- read_blocked: keys with a failed message in the way of what comes after it, up to a number, and since when the first
select count(distinct (topic, key_hash)), extract(epoch from clock_timestamp() - min(held_at))::float8
from (
    select topic, key_hash, held_at from outbox.held_state
    where settled_as is null and failed_at is not null and scope = 'key' limit %(most)s
) as heads
"""


@dataclass(frozen=True, slots=True)
class HeldCounts:
    """What is set aside. `capped`: of some kind there are more than were counted."""

    states: Mapping[str, int]
    capped: bool


@dataclass(frozen=True, slots=True)
class BlockedKeys:
    """The keys whose later messages wait behind one that failed, and for how long the first has been held."""

    keys: int
    oldest_seconds: float | None


def read_held(connection: "psycopg.Connection") -> HeldCounts:
    """Count what is set aside, by state."""
    found = connection.execute(READ_HELD, {"most": COUNTED}).fetchall()
    return HeldCounts({state: number for state, number, _ in found}, any(capped for *_, capped in found))


def read_blocked(connection: "psycopg.Connection") -> BlockedKeys:
    """Count the keys that are blocked."""
    ((keys, oldest),) = connection.execute(READ_BLOCKED, {"most": COUNTED}).fetchall()
    return BlockedKeys(keys, oldest)
