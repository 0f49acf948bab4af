"""Who is where: rows that a server writes as clients come and go, and that others take away when it dies.

Guarantees: a user is in a room as long as one connection of theirs is, on whatever server; the change and the event
that tells of it are one transaction, so that what was told is what the table says. Coming and going of one user in one
room take turns at the lock of `realtime.presence`. A server that has not been heard of for a while is ended for good,
by the database's clock: it cannot write under its id any more, and when it wakes up it finds out, and starts anew.
"""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from psycopg import AsyncConnection

from app_integration import enqueue_many
from app_integration.realtime.records import Kind, Record

REGISTER = """
-- register_server
insert into realtime.server (id, name) values (%(server_id)s, %(name)s)
"""

HEARTBEAT = """
-- heartbeat: no row when others have ended this server
update realtime.server set heartbeat_at = clock_timestamp() where id = %(server_id)s and not ended returning id
"""

END_SILENT = """
-- end_silent_servers
update realtime.server set ended = true
where not ended and heartbeat_at < clock_timestamp() - make_interval(secs => %(seconds)s)
returning name
"""

END = """
-- end_server
update realtime.server set ended = true where id = %(server_id)s
"""

LOCK = """
-- lock_presence
insert into realtime.presence (room, user_id) values (%(room)s, %(user_id)s)
on conflict (room, user_id) do update set room = excluded.room
"""

ARRIVE = """
-- arrive: no row when the server was ended
insert into realtime.attendance (connection, room, user_id, server_id)
select %(connection)s, %(room)s, %(user_id)s, id from realtime.server where id = %(server_id)s and not ended for share
on conflict (connection, room) do update set since = clock_timestamp()
returning connection
"""

ONLINE = """
-- online: a row when nobody of this user was there
update realtime.presence set online = true, changed_at = clock_timestamp()
where room = %(room)s and user_id = %(user_id)s and not online
returning changed_at
"""

DEPART = """
-- depart
delete from realtime.attendance where room = %(room)s and user_id = %(user_id)s and connection = any(%(connections)s)
"""

OFFLINE = """
-- offline: a row when nobody of this user is left
update realtime.presence p set online = false, changed_at = clock_timestamp()
where p.room = %(room)s and p.user_id = %(user_id)s and p.online
  and not exists (select from realtime.attendance a where a.room = p.room and a.user_id = p.user_id)
returning changed_at
"""

PRESENT = """
-- present: from the newest
select user_id, changed_at, count(*) over () from realtime.presence
where room = %(room)s and online order by changed_at desc limit %(limit)s
"""

IS_PRESENT = """
-- is_present
select exists (select from realtime.presence where room = %(room)s and user_id = %(user_id)s and online)
"""

CONNECTIONS = """
-- connections_on_server
select distinct connection from realtime.attendance where server_id = %(server_id)s
"""

PLACES = """
-- places_of_connections: always in one order, so that two who clear up do not wait for each other
select room, user_id, array_agg(connection) from realtime.attendance
where connection = any(%(connections)s) group by room, user_id order by room, user_id
"""

LEFT_BEHIND = """
-- left_behind: by servers that have ended
select room, user_id, array_agg(connection) from realtime.attendance join realtime.server on server_id = id
where ended group by room, user_id order by room, user_id limit %(limit)s
"""

FORGET_ENDED = """
-- forget_ended_servers: a day after, when nothing refers to them any more
delete from realtime.server s
where ended and heartbeat_at < clock_timestamp() - interval '1 day'
  and not exists (select from realtime.attendance where server_id = s.id)
"""

Place = tuple[str, str, list[str]]
"""A room, a user, and connections of that user that were in it."""


class ServerEnded(Exception):
    """Others have ended this server: it was silent for too long."""


async def arrive(connection: "AsyncConnection[Any]", *, client: str, user_id: str, room: str, server_id: UUID) -> None:
    """Put a client into a room, and tell the room if its user is new there.

    Raises:
        ServerEnded: this server's id is not valid any more.
    """
    who = {"connection": client, "user_id": user_id, "room": room, "server_id": server_id}
    async with connection.transaction():
        await connection.execute(LOCK, who)
        if await (await connection.execute(ARRIVE, who)).fetchone() is None:
            raise ServerEnded
        if changed := await (await connection.execute(ONLINE, who)).fetchone():
            await _tell(connection, room, user_id, online=True, at=changed[0])


async def depart(connection: "AsyncConnection[Any]", place: Place) -> None:
    """Take connections of a user out of a room, and tell the room if none is left there."""
    room, user_id, connections = place
    who = {"room": room, "user_id": user_id, "connections": connections}
    async with connection.transaction():
        await connection.execute(LOCK, who)
        await connection.execute(DEPART, who)
        if changed := await (await connection.execute(OFFLINE, who)).fetchone():
            await _tell(connection, room, user_id, online=False, at=changed[0])


async def places(connection: "AsyncConnection[Any]", connections: Sequence[str]) -> list[Place]:
    """Where some connections are."""
    return await (await connection.execute(PLACES, {"connections": list(connections)})).fetchall()


async def left_behind(connection: "AsyncConnection[Any]", limit: int) -> list[Place]:
    """Where connections of servers are that have ended; at most so many places."""
    return await (await connection.execute(LEFT_BEHIND, {"limit": limit})).fetchall()


async def connections(connection: "AsyncConnection[Any]", server_id: UUID) -> list[str]:
    """Which connections a server is said to have."""
    found = await (await connection.execute(CONNECTIONS, {"server_id": server_id})).fetchall()
    return [sid for (sid,) in found]


async def present(connection: "AsyncConnection[Any]", room: str, limit: int) -> dict[str, Any]:
    """Tell who is in a room: how many there are, and at most so many of them."""
    rows = await (await connection.execute(PRESENT, {"room": room, "limit": limit})).fetchall()
    users = [{"userId": user_id, "online": True, "at": at.isoformat()} for user_id, at, _ in rows]
    return {"count": rows[0][2] if rows else 0, "users": users}


async def is_present(connection: "AsyncConnection[Any]", room: str, user_id: str) -> bool:
    """Whether a user is in a room."""
    found = await (await connection.execute(IS_PRESENT, {"room": room, "user_id": user_id})).fetchone()
    return found == (True,)


async def _tell(connection: "AsyncConnection[Any]", room: str, user_id: str, *, online: bool, at: Any) -> None:
    body = {"room": room, "userId": user_id, "online": online, "at": at.isoformat()}
    await enqueue_many(connection, [Record(Kind.PRESENCE, room, body).message()])
