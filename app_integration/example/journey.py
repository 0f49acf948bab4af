"""The way of each message: written, published, handled; and what is held. Reads, but for an operator's two answers.

Times are the database's. The workers' part is read from their inbox, `worker.inbox`, in which each notes what it has
handled, in the transaction of the effect; where there are no workers' tables there is nothing of it.
"""

from collections.abc import Iterable
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import bindparam, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.types import Text, Uuid

NEWEST = text("""
-- newest_messages: ids are time-ordered, so this is the end of an index. Those of one millisecond change places in it,
-- and are shown as they were written. One that is committed late comes in at its place, among those of its time, for
-- PostgreSQL notes when a row was written and not when it was committed. Behind all that are newer by then it is not
-- shown, whatever has become of it; `relay show` knows it
select * from (
    select id, seq, xid::text as xid, topic, key, type, created_at, coalesce(octet_length(payload), 0) as bytes
    from outbox.message order by id desc limit :most
) newest order by seq desc
""")

STATES = text("""
-- states_of_messages
select id, state, sent_at from outbox.message_state where id = any(:ids)
""").bindparams(bindparam("ids", type_=ARRAY(Uuid)))

HAVE_WORKERS = text("""
-- have_workers
select to_regclass('worker.inbox') is not null
""")

HANDLED = text("""
-- handled_messages
select ce_id, consumer, topic, partition, "offset", outcome, attempts, error, handled_at
from worker.inbox where ce_id = any(:ids) order by handled_at
""").bindparams(bindparam("ids", type_=ARRAY(Text)))

HELD = text("""
-- held_messages: oldest first, as they would go. Without due_at, which may be infinite, and Python has no such time
select id, topic, key, type, state, attempts, code, error, created_at
from outbox.held_state where settled_as is null and state <> 'scheduled' order by seq limit :most
""")

COUNTS = text("""
-- counts
select (select count(*) from edu_matrix.users) as users,
       (select count(*) from edu_matrix.payments) as payments,
       (select count(*) from edu_matrix.enrolments) as enrolments
""")

REPLAY = text("""
-- replay
select messages from outbox.replay(why => :why, ids => :ids)
""").bindparams(bindparam("ids", type_=ARRAY(Uuid)))

DISCARD = text("""
-- discard
select messages from outbox.discard(why => :why, ids => :ids)
""").bindparams(bindparam("ids", type_=ARRAY(Uuid)))

MOST_MESSAGES = 60
MOST_HELD = 50


async def look(connection: AsyncConnection) -> dict[str, Any]:
    """Give what the page shows: the newest messages with their ways, what is held, and the domain's counts."""
    newest = (await connection.execute(NEWEST, {"most": MOST_MESSAGES})).mappings().all()
    ids = [row["id"] for row in newest]
    states = {row.id: row for row in await connection.execute(STATES, {"ids": ids})}
    handled = await _handled(connection, ids)
    held = (await connection.execute(HELD, {"most": MOST_HELD})).mappings().all()
    counts = (await connection.execute(COUNTS)).mappings().one()
    messages = [
        {**_plain(row), **_plain({"state": states[row["id"]].state, "sent_at": states[row["id"]].sent_at}),
         "handled": handled.get(str(row["id"]), [])}
        for row in newest if row["id"] in states
    ]  # fmt: skip
    return {"messages": messages, "held": [_plain(row) for row in held], "counts": dict(counts)}


async def _handled(connection: AsyncConnection, ids: Iterable[UUID]) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {}
    if (await connection.execute(HAVE_WORKERS)).scalar_one():
        rows = await connection.execute(HANDLED, {"ids": [str(each) for each in ids]})
        for row in rows.mappings():
            found.setdefault(row["ce_id"], []).append(_plain(row))
    return found


def _plain(row: Any) -> dict[str, Any]:
    return {name: _text(value) for name, value in row.items()}


def _text(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    return str(value) if isinstance(value, UUID) else value
