"""Writes the messages that count as unsent anew and lets nothing else remain, inside the transaction of a rebase.

Guarantees: `begin` keeps nobody waiting; `finish` is called under the lock and finds, by indexes alone, every message
that counts as unsent. They get transaction ids and numbers of this cluster, above every number that anybody holds, in
the order of their old ones. So the new position of each shard is the simplest there is: nothing was sent.

The sequence is raised by `ALTER SEQUENCE`, which a rollback undoes. By `setval` a rebase that was cut short would leave
it raised, and the next one could not tell any more that numbers were drawn again.
"""

from typing import Any, LiteralString

import psycopg
from psycopg import sql
from psycopg.types.json import Jsonb

from relay.restoring.unsent import JUDGED, POSITION, Survey, parameters, read_marks, row

CREATE_UNSENT: LiteralString = """
-- create_unsent
create temporary table unsent (
    shard smallint, seq bigint, slot smallint, id uuid, topic text, key text, type text, payload bytea,
    content_type text, headers jsonb, deliver_after timestamptz, created_at timestamptz
) on commit drop
"""

COLLECT_SINCE: LiteralString = """
-- collect_since: no index finds them, so they are looked for before the table is locked
{judged}
insert into pg_temp.unsent
select shard, seq, slot, id, topic, key, type, payload, content_type, headers, deliver_after, created_at from judged
where reason = 'since'
""".replace("{judged}", JUDGED)

READ_POSITIONS: LiteralString = """
-- read_positions: of all shards together, from which transaction id on nothing is in their snapshots, and which ids
-- below it were in progress; and the next batch of each
with {position}
select coalesce(min(pg_snapshot_xmax(seen)::text::numeric), 0)::text,
       array(select distinct listed::text from position as p cross join lateral pg_snapshot_xip(p.seen) as listed),
       array_agg(shard order by shard), array_agg(coalesce(batch, -1) + 1 order by shard)
from position
""".replace("{position}", POSITION)

COLLECT_UNSENT: LiteralString = """
-- collect_unsent: by ranges that indexes find, which hold every message that counts as unsent; each one is judged
{judged}
insert into pg_temp.unsent
select shard, seq, slot, id, topic, key, type, payload, content_type, headers, deliver_after, created_at from judged
where reason is not null
  and (xid >= %(unknown)s::xid8 or xid = any(%(listed)s::xid8[])
       or shard = any(%(missing)s::smallint[])
       or shard = any(%(shards)s::smallint[]) and seq > %(above)s
       or shard = any(%(shards)s::smallint[]) and seq <= %(again)s
       -- committed since the count
       or xid >= pg_snapshot_xmax(%(before)s::pg_snapshot) and xid < pg_snapshot_xmax(pg_current_snapshot())
       or xid = any(array(select listed from pg_snapshot_xip(%(before)s::pg_snapshot) as listed)))
  and (shard, seq, slot) not in (select shard, seq, slot from pg_temp.unsent)
""".replace("{judged}", JUDGED)

READ_HIGHEST: LiteralString = """
-- read_highest: of all numbers that anybody holds
select greatest(%(number)s::bigint, %(drawn)s::bigint,
                (select max(seq) from outbox.held),
                (select max(highest.seq)
                 from unnest(%(shards)s::smallint[]) as every(shard)
                 cross join lateral (
                     select seq from outbox.message where shard = every.shard order by seq desc limit 1
                 ) as highest))
"""

EMPTY_TABLES: LiteralString = """
-- empty_tables
truncate outbox.message, outbox.checkpoint, outbox.snapshot
"""

RAISE_SEQUENCE: LiteralString = """
-- raise_sequence: undone by a rollback, unlike setval
alter sequence outbox.message_seq restart with {}
"""

DRAW_ONE: LiteralString = """
-- draw_one: a sequence that was never called has no last value; neither has that of slots, where a dump left it out
select nextval('outbox.message_seq'),
       case when pg_sequence_last_value('outbox.slot') is null then setval('outbox.slot', 0) end
"""

WRITE_ANEW: LiteralString = """
-- write_anew: numbers are drawn in this order
insert into outbox.message (id, topic, key, type, payload, content_type, headers, deliver_after, created_at)
select id, topic, key, type, payload, content_type, headers, deliver_after, created_at
from pg_temp.unsent
order by case when %(used_again)s then created_at end, seq
"""

NOTHING_WAS_SENT: LiteralString = """
-- nothing_was_sent: of what is in the table now; no transaction is visible in '1:1:'
with nothing as (
    insert into outbox.snapshot (taken, floor, drawn, system_identifier)
    select '1:1:', 0, 0, system_identifier from pg_control_system()
    returning id
)
insert into outbox.checkpoint (shard, batch, seen, target, upto, sent)
select p.shard, p.batch, nothing.id, null, 0, 0
from nothing, unnest(%(shards)s::smallint[], %(batches)s::bigint[]) as p(shard, batch)
"""

RECORD_ACT: LiteralString = """
-- record_act
insert into outbox.operator_act (act, why, choice, messages) values ('rebase', %(why)s, %(choice)s, %(messages)s)
"""

NO_NUMBER = 2**63 - 1
"""None is above it."""


def begin(connection: "psycopg.Connection", found: Survey) -> None:
    """Make the place for messages that count as unsent, and collect those that only a look at every row finds."""
    connection.execute(CREATE_UNSENT)
    connection.execute(COLLECT_SINCE, parameters(found.plan.marks))


def finish(connection: "psycopg.Connection", found: Survey, why: str) -> int:
    """Collect the others, and write them all anew.

    Args:
        connection: in the transaction of `begin`, and with all of the outbox's tables locked.
        found: what was counted before `begin`.
        why: what to record of the reason.

    Returns:
        How many messages were written anew.
    """
    marks = read_marks(connection)
    unknown, listed, shards, batches = row(connection, READ_POSITIONS)
    ranges = {
        "unknown": unknown,
        "listed": listed,
        "shards": shards,
        "missing": list(marks.missing),
        "above": marks.drawn if marks.foreign else NO_NUMBER,
        "before": found.before,
        # Writers may have drawn beyond the old numbers since the count; then these no longer tell that they did.
        "again": max(marks.again, found.plan.marks.again),
    }
    # Writers wait by now, and the planner does not know how few these are.
    connection.execute("set local enable_seqscan = off")
    connection.execute(COLLECT_UNSENT, {**parameters(marks), **ranges})
    (highest,) = row(connection, READ_HIGHEST, {"number": marks.number, "drawn": marks.drawn, "shards": shards})
    connection.execute(EMPTY_TABLES)
    connection.execute(sql.SQL(RAISE_SEQUENCE).format(sql.Literal(highest + 1)))
    connection.execute(DRAW_ONE)
    # Nobody listens, and whoever joins looks at everything.
    connection.execute("set local outbox.doorbell = off")
    messages = connection.execute(WRITE_ANEW, {"used_again": found.plan.used_again}).rowcount
    connection.execute(NOTHING_WAS_SENT, {"shards": shards, "batches": batches})
    choice: dict[str, Any] = {"from": sorted(marks.recorded), "to": marks.here, "numbers_above": highest + 1}
    connection.execute(RECORD_ACT, {"why": why, "choice": Jsonb(choice), "messages": messages})
    return messages
