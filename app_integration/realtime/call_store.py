"""Calls in the database, so that the two who speak may be on different servers, and any server can end a dead one.

Guarantees: nobody is in two calls (a primary key); a step is taken under the lock of the call's row, by the table of
`calls`, and told in the same transaction; of two who answer or hang up at once one is refused. Neither offers nor
answers are stored in these tables, nor are candidates anywhere: they hold the addresses of people's machines.
"""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, LiteralString, NamedTuple
from uuid import UUID

from psycopg import AsyncConnection
from psycopg.rows import class_row

from app_integration import enqueue_many
from app_integration.realtime.calls import State, Step, after
from app_integration.realtime.records import Kind, Record
from app_integration.realtime.refusal import Refusal

INSERT = """
-- begin_call
insert into realtime.call (id, caller, callee, caller_connection, caller_server, media, ring_until)
values (%(id)s, %(caller)s, %(callee)s, %(caller_connection)s, %(caller_server)s, %(media)s,
        clock_timestamp() + make_interval(secs => %(ring_seconds)s))
returning ring_until
"""

TAKE_PARTIES = """
-- take_parties: always in one order, so that two who call each other do not wait for each other
insert into realtime.call_party (user_id, call_id)
select user_id, %(id)s from unnest(array[%(caller)s, %(callee)s]) as user_id order by user_id
on conflict do nothing returning user_id
"""

LOCK = """
-- lock_call
select id, caller, callee, caller_connection, callee_connection, media, state from realtime.call
where id = %(id)s for update
"""

ANSWER = """
-- answer_call: unless its time was over before
update realtime.call set state = 'active', answered_at = clock_timestamp(), callee_connection = %(connection)s,
       callee_server = %(server_id)s
where id = %(id)s and ring_until > clock_timestamp()
returning id
"""

END = """
-- end_call
update realtime.call set state = 'ended', ended_at = clock_timestamp(), why = %(why)s where id = %(id)s
"""

FREE_PARTIES = """
-- free_parties
delete from realtime.call_party where call_id = %(id)s
"""

UNANSWERED = """
-- unanswered_calls
select id from realtime.call where state = 'ringing' and ring_until <= clock_timestamp() limit 100
"""

OF_ENDED_SERVERS = """
-- calls_of_ended_servers
select c.id from realtime.call c
where c.state <> 'ended'
  and exists (select from realtime.server s where s.ended and s.id in (c.caller_server, c.callee_server))
limit 100
"""

OF_CONNECTION = """
-- calls_of_connection
select id from realtime.call
where state <> 'ended' and (caller_connection = %(connection)s or callee_connection = %(connection)s)
"""

PRUNE = """
-- prune_calls
delete from realtime.call where state = 'ended' and ended_at < clock_timestamp() - interval '30 days'
"""


@dataclass(frozen=True, slots=True)
class Call:
    """A call as its row says."""

    id: UUID
    caller: str
    callee: str
    caller_connection: str
    callee_connection: str | None
    media: str
    state: str


class Invitation(NamedTuple):
    """What makes a telephone ring."""

    id: UUID
    caller: str
    callee: str
    caller_connection: str
    caller_server: UUID
    media: str
    ring_seconds: float


async def invite(connection: "AsyncConnection[Any]", asked: Invitation, offer: dict[str, Any]) -> str:
    """Begin a call and let it ring.

    Returns:
        Until when it rings, ISO 8601.

    Raises:
        Refusal: one of the two is in a call.
    """
    values = asked._asdict()
    async with connection.transaction():
        (row,) = await (await connection.execute(INSERT, values)).fetchall()
        until: str = row[0].isoformat()
        taken = {user for (user,) in await (await connection.execute(TAKE_PARTIES, values)).fetchall()}
        if asked.caller not in taken:
            raise Refusal("in_a_call", "you are in a call; hang up first")
        if asked.callee not in taken:
            raise Refusal("busy", f"{asked.callee} is in a call")
        body = {"event": "incoming", "callerConnection": asked.caller_connection, "offer": offer, "until": until}
        await _tell(connection, asked.id, asked.caller, asked.callee, {**body, "media": asked.media})
    return until


async def answer(
    connection: "AsyncConnection[Any]",
    call_id: UUID,
    user_id: str,
    *,
    client: str,
    server_id: UUID,
    given: dict[str, Any],
) -> Call:
    """Answer a call.

    Returns:
        The call as it was.

    Raises:
        Refusal: it is not this user's to answer, or was answered or ended before.
    """
    async with connection.transaction():
        call = await _lock(connection, call_id)
        if call is None or call.callee != user_id:
            raise no_such_call()
        after(State(call.state), Step.ANSWER)
        values = {"id": call_id, "connection": client, "server_id": server_id}
        if await (await connection.execute(ANSWER, values)).fetchone() is None:
            raise Refusal("call_over", "it has rung for long enough")
        body = {"event": "answered", "callerConnection": call.caller_connection, "calleeConnection": client}
        await _tell(connection, call_id, call.caller, call.callee, {**body, "answer": given})
    return call


async def end(
    connection: "AsyncConnection[Any]", call_id: UUID, step_of: Callable[[Call], Step], by: str | None = None
) -> str:
    """End a call.

    Args:
        connection: one with no transaction open.
        call_id: which.
        step_of: decides how, when the call's row is locked; may refuse.
        by: the user who does it; None for a server.

    Returns:
        Why it has ended.

    Raises:
        Refusal: there is none, or the step is not possible.
    """
    async with connection.transaction():
        call = await _lock(connection, call_id)
        if call is None:
            raise no_such_call()
        step = step_of(call)
        after(State(call.state), step)
        await connection.execute(END, {"id": call_id, "why": step.value})
        await connection.execute(FREE_PARTIES, {"id": call_id})
        connections = {"callerConnection": call.caller_connection, "calleeConnection": call.callee_connection}
        body = {"event": "ended", "why": step.value, "by": by, **connections}
        await _tell(connection, call_id, call.caller, call.callee, body)
    return step.value


async def end_if_going(connection: "AsyncConnection[Any]", call_id: UUID, step: Step) -> None:
    """End a call on a server's own account, unless somebody else did so, or it was answered, at the same moment."""
    with suppress(Refusal):
        await end(connection, call_id, lambda _: step)


async def of_connection(connection: "AsyncConnection[Any]", sid: str) -> list[UUID]:
    """The calls that a connection is in."""
    return await _ids(connection, OF_CONNECTION, {"connection": sid})


async def unanswered(connection: "AsyncConnection[Any]") -> list[UUID]:
    """The calls that have rung for long enough."""
    return await _ids(connection, UNANSWERED, {})


async def of_ended_servers(connection: "AsyncConnection[Any]") -> list[UUID]:
    """The calls of which a side was on a server that has ended."""
    return await _ids(connection, OF_ENDED_SERVERS, {})


async def prune(connection: "AsyncConnection[Any]") -> None:
    """Forget calls that ended a month ago."""
    await connection.execute(PRUNE)


async def _ids(connection: "AsyncConnection[Any]", statement: LiteralString, values: dict[str, Any]) -> list[UUID]:
    return [id_ for (id_,) in await (await connection.execute(statement, values)).fetchall()]


async def _lock(connection: "AsyncConnection[Any]", call_id: UUID) -> Call | None:
    cursor = connection.cursor(row_factory=class_row(Call))
    return await (await cursor.execute(LOCK, {"id": call_id})).fetchone()


async def _tell(
    connection: "AsyncConnection[Any]", call_id: UUID, caller: str, callee: str, body: dict[str, Any]
) -> None:
    told = {"callId": str(call_id), "caller": caller, "callee": callee, **body}
    await enqueue_many(connection, [Record(Kind.CALL, f"call:{call_id}", told).message()])


def no_such_call() -> Refusal:
    """Make the answer to everybody who is not in the call, whether there is one or not."""
    return Refusal("no_such_call", "there is no such call of yours")
