"""Chat and feeds in the database: stored and announced in one transaction, numbered in the order of the commits.

Guarantees: a number is given under the lock of the room's row, which is held until the commit, and the message to Kafka
is enqueued after it, with the room as key. So the order of numbers, of commits and of Kafka is one, and a rollback
leaves neither a number nor a message. What is said again under the same `client_id` is stored once.
"""

import json
from itertools import accumulate
from typing import Any
from uuid import UUID

from psycopg import AsyncConnection, errors
from psycopg.rows import namedtuple_row
from psycopg.types.json import Jsonb

from app_integration import NewMessage, enqueue_many
from app_integration.message import uuid7
from app_integration.realtime.live import Entry
from app_integration.realtime.records import Kind, Record

MAKE_STREAM = """
-- make_stream
insert into realtime.stream (room, name) values (%(room)s, %(stream)s) on conflict do nothing
"""

APPEND = """
-- append: the row that gives the number stays locked until the commit
with numbered as (
    update realtime.stream set last_sequence = last_sequence + 1
    where room = %(room)s and name = %(stream)s
    returning last_sequence
)
insert into realtime.entry (room, stream, sequence, id, author, client_id, body)
select %(room)s, %(stream)s, last_sequence, %(id)s, %(author)s, %(client_id)s, %(body)s from numbered
returning room, sequence, id, author, client_id, body, created_at
"""

SAID = """
-- said
select room, sequence, id, author, client_id, body, created_at from realtime.entry
where room = %(room)s and stream = %(stream)s and author = %(author)s and client_id = %(client_id)s
"""

LAST = """
-- last_sequence
select coalesce((select last_sequence from realtime.stream where room = %(room)s and name = %(stream)s), 0)
"""

BEFORE = """
-- entries_before
select room, sequence, id, author, client_id, body, created_at from realtime.entry
where room = %(room)s and stream = %(stream)s and sequence < %(sequence)s
order by sequence desc limit %(limit)s
"""

AFTER = """
-- entries_after
select room, sequence, id, author, client_id, body, created_at from realtime.entry
where room = %(room)s and stream = %(stream)s and sequence > %(sequence)s
order by sequence limit %(limit)s
"""

PRUNE = """
-- prune_entries: their numbers are never given again, for `realtime.stream` keeps the last one; several servers do this
delete from realtime.entry where ctid in (
    select ctid from realtime.entry where created_at < clock_timestamp() - make_interval(secs => %(seconds)s)
    limit %(most)s for update skip locked
)
"""

LARGEST_PAGE = 256 * 1024
"""Bytes of JSON, as it goes to a client, that a page has at most, but for one entry that is larger by itself."""

CONTENT_TYPE = "text/plain; charset=utf-8"
"""What is said is text and nothing else, whatever it looks like; whoever shows it escapes it."""


def entry_of(stream: str, row: Any) -> Entry:
    """Make of a row what clients get."""
    common = {"room": row.room, "sequence": row.sequence, "id": str(row.id), "userId": row.author}
    told = {**common, **row.body, "at": row.created_at.isoformat()}
    if stream == Kind.CHAT:
        told |= {"contentType": CONTENT_TYPE, "clientId": row.client_id}
    return told


async def say(
    connection: "AsyncConnection[Any]", room: str, author: str, text: str, client_id: str | None
) -> tuple[Entry, bool]:
    """Store a chat message and enqueue its announcement, in a transaction that is committed here.

    Args:
        connection: one with no transaction open.
        room: where.
        author: who.
        text: what.
        client_id: the author's own name for it; saying it twice stores it once.

    Returns:
        The entry, and whether it is new.
    """
    place: dict[str, Any] = {"room": room, "stream": Kind.CHAT.value, "author": author, "client_id": client_id}
    try:
        async with connection.transaction():
            return await _append(connection, {**place, "id": uuid7(), "body": Jsonb({"text": text})}), True
    except errors.UniqueViolation:
        # Said before, and the answer was lost. The number that this attempt was given went back with the rollback.
        cursor = connection.cursor(row_factory=namedtuple_row)
        return entry_of(Kind.CHAT, await (await cursor.execute(SAID, place)).fetchone()), False


async def _append(connection: "AsyncConnection[Any]", values: dict[str, Any]) -> Entry:
    cursor = connection.cursor(row_factory=namedtuple_row)
    row = await (await cursor.execute(APPEND, values)).fetchone()
    if row is None:  # the first of its room
        await cursor.execute(MAKE_STREAM, values)
        row = await (await cursor.execute(APPEND, values)).fetchone()
    entry = entry_of(values["stream"], row)
    await enqueue_many(connection, [_announcement(Kind(values["stream"]), entry)])
    return entry


def _announcement(kind: Kind, entry: Entry) -> NewMessage:
    made = Record(kind, entry["room"], entry).message()
    # One identity for both, so that whoever sees a message in Kafka finds its row.
    return NewMessage(topic=made.topic, payload=made.payload, key=made.key, type=made.type, id=UUID(entry["id"]))


async def page(
    connection: "AsyncConnection[Any]",
    room: str,
    stream: str,
    *,
    before: int | None = None,
    after: int | None = None,
    limit: int,
) -> dict[str, Any]:
    """Read a page of a stream: the newest, those before a number, or those after one.

    Args:
        connection: one with no transaction open.
        room: which room's.
        stream: `chat` or `feed`.
        before: entries with a lower number than this, the highest of them.
        after: entries with a higher number than this, the lowest of them.
        limit: at most so many.

    Returns:
        `entries` in order, fewer than `limit` where they are large, `more` (whether others lie beyond, in that
        direction), and `sequence`: the last number of the stream as it was just before the page was read.
    """
    place = {"room": room, "stream": stream}
    cursor = connection.cursor(row_factory=namedtuple_row)
    # Read first: an entry that is committed between the two statements is on the page or comes live, perhaps both.
    last = (await (await connection.execute(LAST, place)).fetchone() or (0,))[0]
    first = after if after is not None else before if before is not None else last + 1
    statement = BEFORE if after is None else AFTER
    asked = {**place, "sequence": first, "limit": limit + 1}
    rows: list[Any] = await (await cursor.execute(statement, asked)).fetchall()
    if after is not None:
        # None above `last`: its number is what live goes on from.
        rows = [row for row in rows if row.sequence <= last]
    entries = _fitting([entry_of(stream, row) for row in rows[:limit]])
    ordered = entries if after is not None else entries[::-1]
    return {"entries": ordered, "more": len(rows) > len(entries), "sequence": last}


def _fitting(entries: list[Entry]) -> list[Entry]:
    """Take as many of the first entries as fit on a page; one at least, so that whoever reads on gets on."""
    sizes = accumulate(len(json.dumps(entry)) for entry in entries)
    return entries[: max(1, sum(size <= LARGEST_PAGE for size in sizes))]


async def between(connection: "AsyncConnection[Any]", room: str, stream: str, numbers: range) -> list[Entry]:
    """Read the entries of some numbers."""
    cursor = connection.cursor(row_factory=namedtuple_row)
    asked = {"room": room, "stream": stream, "sequence": numbers.start - 1, "limit": len(numbers)}
    return [entry_of(stream, row) for row in await (await cursor.execute(AFTER, asked)).fetchall()]


async def prune(connection: "AsyncConnection[Any]", seconds: float, most: int) -> int:
    """Delete entries that are older than so many seconds, at most so many; return how many."""
    return (await connection.execute(PRUNE, {"seconds": seconds, "most": most})).rowcount
