"""Held messages as a relay leaves them, written by hand: what a test of the operator's side begins with."""

from typing import Any, LiteralString
from uuid import UUID

import psycopg

FLOOR: LiteralString = """
-- floor: of its own statement, before a transaction is given its xid and ends; only then may the snapshot be taken
select coalesce(pg_sequence_last_value('outbox.message_seq'), 0)
"""

PASS: LiteralString = """
-- pass: what a relay records of every shard, once everything that is visible was sent or is held
with horizon as (
    insert into outbox.snapshot (taken, floor, system_identifier)
    select pg_current_snapshot(), %(floor)s, system_identifier from pg_control_system()
    returning id
)
insert into outbox.checkpoint (shard, batch, seen, target, upto, sent)
select c.shard, max(c.batch) + 1, horizon.id, null, 0, 1 from horizon, outbox.checkpoint c group by c.shard, horizon.id
"""

ENQUEUE: LiteralString = """
-- enqueue_some
insert into outbox.message (topic, key, payload)
select %(topic)s, %(key)s, convert_to(n::text, 'UTF8') from generate_series(1, %(count)s) as n
returning shard, seq, id
"""

HOLD: LiteralString = """
-- hold: copies of messages, in a state
insert into outbox.held (shard, seq, id, topic, key, type, payload, content_type, headers, created_at,
                         scope, due_at, attempts, failed_at, fault, code, error, held_at)
select m.shard, m.seq, m.id, m.topic, m.key, m.type, m.payload, m.content_type, m.headers, m.created_at, %(scope)s,
       case %(state)s when 'dead' then 'infinity' when 'waiting' then '-infinity' when 'retrying' then now() + '5 min'
                      when 'unreachable' then now() + '3 s' else now() + '1 day' end,
       case when %(state)s in ('dead', 'retrying') then 3 else 0 end, case when %(failed)s then now() end,
       case when %(failed)s then case %(state)s when 'unreachable' then 'destination' else 'message' end end,
       case when %(failed)s then %(code)s end, case when %(failed)s then %(error)s end,
       now() - %(ago)s::interval
from unnest(%(shards)s::smallint[], %(seqs)s::bigint[]) as h(shard, seq)
join outbox.message m on m.shard = h.shard and m.seq = h.seq
"""

FAILED = ("dead", "retrying", "unreachable")


def pass_over(connection: "psycopg.Connection", statement: LiteralString = PASS, **values: Any) -> None:
    """Record progress; the session must be in autocommit, or the floor would belong to no snapshot."""
    assert connection.autocommit
    ((floor,),) = connection.execute(FLOOR).fetchall()
    connection.execute("select pg_current_xact_id()")
    connection.execute(statement, {**values, "floor": floor})


def enqueue(
    connection: "psycopg.Connection", count: int = 1, *, topic: str = "orders", key: str | None = None
) -> list[UUID]:
    """Write messages; they are pending."""
    found = connection.execute(ENQUEUE, {"topic": topic, "key": key, "count": count}).fetchall()
    return [id_ for _, _, id_ in sorted(found, key=lambda row: row[1])]


def send(
    connection: "psycopg.Connection", count: int = 1, *, topic: str = "orders", key: str | None = None
) -> list[UUID]:
    """Write messages and record them, and all that is pending, as sent."""
    made = enqueue(connection, count, topic=topic, key=key)
    pass_over(connection)
    return made


def hold(
    connection: "psycopg.Connection",
    state: str,
    count: int = 1,
    *,
    topic: str = "orders",
    key: str | None = None,
    code: str = "MSG_SIZE_TOO_LARGE",
    error: str = "the broker takes no message of this size",
    ago: str = "0",
) -> list[UUID]:
    """Write messages and set them aside: dead, retrying, unreachable, scheduled, or waiting behind their key."""
    written = connection.execute(ENQUEUE, {"topic": topic, "key": key, "count": count}).fetchall()
    scope = "topic" if state == "unreachable" else "none" if state == "scheduled" or key is None else "key"
    connection.execute(
        HOLD,
        {
            "state": state,
            "scope": scope,
            "failed": state in FAILED,
            "code": code,
            "error": error,
            "ago": ago,
            "shards": [shard for shard, _, _ in written],
            "seqs": [seq for _, seq, _ in written],
        },
    )
    pass_over(connection)
    return [id_ for _, _, id_ in sorted(written, key=lambda row: row[1])]


def state(connection: "psycopg.Connection", id_: UUID) -> str:
    """The state of a message, as a person would ask for it."""
    found = connection.execute("select state from outbox.message_state where id = %s", [id_]).fetchall()
    assert len(found) == 1, found
    return str(found[0][0])
