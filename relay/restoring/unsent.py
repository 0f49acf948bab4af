"""Which messages count as unsent where recorded positions cannot be gone on with. Reads and never writes.

A position is a pair of snapshots, and still tells of each message that its own cluster wrote whether it was sent: their
transaction ids are compared with it as they stand in the rows, and were restored with it. It tells nothing of messages
that another cluster has written since, whose ids may be lower than its own and pass for long sent. These are known by
their numbers: a dump takes the sequence along, so they are above every number that a position of the old cluster ever
covered (`outbox.snapshot.drawn`). Where the sequence was not taken along, every number that may have been drawn again
counts as unsent, and so does what was created after the newest checkpoint: a repeat is allowed, a loss is not.

What is held is in the care of `outbox.held`, and neither sent nor unsent here.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, LiteralString

import psycopg

from relay.errors import PositionsForeign
from relay.reading import origin
from relay.restoring.rebase_plan import Marks, Plan, Reason

POSITION: LiteralString = """position as (
    select every.shard::smallint as shard, newest.batch, newest.sent_at, newest.upto, newest.ahead,
           seen.taken as seen, seen.floor, seen.system_identifier, target.taken as target, target.floor as target_floor
    from generate_series(0, outbox.shard_count() - 1) as every(shard)
    left join lateral (
        select * from outbox.checkpoint where shard = every.shard::smallint order by batch desc limit 1
    ) as newest on true
    left join outbox.snapshot as seen on seen.id = newest.seen
    left join outbox.snapshot as target on target.id = newest.target
)"""

JUDGED: LiteralString = """with {position}, judged as (
    select m.*, h.seq is not null as is_held,
           m.xid >= pg_snapshot_xmax(p.seen) and m.seq <= p.floor
           or p.target is not null and m.xid >= pg_snapshot_xmax(p.target) and m.seq <= p.target_floor as is_hidden,
           case
               when h.seq is not null then null
               when not coalesce(outbox.covers_topic(p.seen, p.target, p.upto, p.ahead, m.topic, m.xid, m.seq), false)
                   then 'uncovered'
               when not %(foreign)s then null
               when m.seq > %(drawn)s then 'above'
               when m.created_at > %(newest)s then 'since'
               when m.seq <= %(again)s then 'again'
           end as reason
    from outbox.message as m
    left join position as p on p.shard = m.shard
    left join outbox.held as h on h.shard = m.shard and h.seq = m.seq and h.id = m.id and h.replay is null
)""".replace("{position}", POSITION)
"""Each message with why it counts as unsent. A held one is told by its identity too, not by a number drawn again."""

READ_CLUSTERS: LiteralString = """
-- read_clusters: this one, those that the newest checkpoints were made in, and the shards that have none
with {position}
select (select system_identifier from pg_control_system()),
       coalesce(array_agg(distinct system_identifier) filter (where system_identifier is not null), '{}'),
       coalesce(array_agg(shard) filter (where seen is null), '{}')
from position
""".replace("{position}", POSITION)

READ_MARKS: LiteralString = """
-- read_marks: what was drawn from the sequence, what the positions know of it, and until when; where topics are behind,
-- their shard may refer to an old snapshot for long, and tells in `ahead` what it knows beyond that
with {position}
select coalesce(pg_sequence_last_value('outbox.message_seq'), 0),
       greatest((select coalesce(max(greatest(drawn, floor)), 0) from outbox.snapshot),
                (select max((ahead ->> 'drawn')::bigint) from position)),
       (select max(sent_at) from outbox.checkpoint)
""".replace("{position}", POSITION)

COUNT: LiteralString = """
-- count_unsent: all of the table, while writers go on
{judged}
select reason, count(*), count(*) filter (where is_hidden and not is_held) from judged group by reason
""".replace("{judged}", JUDGED)

COUNT_HELD: LiteralString = """
-- count_held
select count(*) from outbox.held
"""

READ_SNAPSHOT: LiteralString = """
-- read_snapshot
select pg_current_snapshot()::text
"""


@dataclass(frozen=True, slots=True)
class Survey:
    """What was counted, and which messages were not visible then."""

    plan: Plan
    before: str
    """A snapshot from before the count."""


def survey(connection: "psycopg.Connection") -> Survey:
    """Count what a rebase would do now. It reads all of `outbox.message`, and keeps nobody waiting."""
    marks = read_marks(connection)
    (before,) = row(connection, READ_SNAPSHOT)
    counts = connection.execute(COUNT, parameters(marks)).fetchall()
    (held,) = row(connection, COUNT_HELD)
    found = {reason: count for reason, count, _ in counts}
    return Survey(
        Plan(
            marks,
            unsent={reason: found[reason] for reason in Reason if reason in found},
            sent=found.get(None, 0),
            hidden=sum(hidden for *_, hidden in counts),
            held=held,
        ),
        before,
    )


def read_marks(connection: "psycopg.Connection") -> Marks:
    """Read what is recorded, beside what this database is."""
    here, recorded, missing = row(connection, READ_CLUSTERS)
    return Marks(here, frozenset(recorded), frozenset(missing), *row(connection, READ_MARKS))


def demand_positions(connection: "psycopg.Connection") -> None:
    """Go on only where the recorded positions tell what was sent; looks at the newest checkpoints alone.

    Raises:
        PositionsForeign: they were recorded in another cluster, or are missing.
    """
    here, recorded, missing = row(connection, READ_CLUSTERS)
    if set(recorded) - {here}:
        raise PositionsForeign(origin.nothing_is_published(origin.foreign_cluster(recorded, here)))
    if missing:
        raise PositionsForeign(origin.nothing_is_published(origin.no_position(missing)))


def parameters(marks: Marks) -> dict[str, Any]:
    """Return what `JUDGED` is asked with."""
    return {"foreign": marks.foreign, "drawn": marks.drawn, "again": marks.again, "newest": marks.newest}


def row(
    connection: "psycopg.Connection", statement: LiteralString, parameters: Mapping[str, Any] | None = None
) -> tuple[Any, ...]:
    """Return the one row that a statement answers with."""
    found = connection.execute(statement, parameters).fetchone()
    assert found is not None
    return tuple(found)
