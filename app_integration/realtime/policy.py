"""Who may enter which room, and who may call whom. The one rule that every application will want to change.

A policy is anything with these two methods; `REALTIME_POLICY=my.module:make` names a function that takes the pool, of
connections in autocommit mode, and returns one. It is asked at every join and every call, and never by a client.
"""

from typing import Protocol

from psycopg_pool import AsyncConnectionPool

from app_integration.realtime.names import kind_of, owner_of

IS_MEMBER = """
-- is_member
select exists (select from realtime.membership where room = %(room)s and user_id = %(user_id)s)
"""

SHARE_A_ROOM = """
-- share_a_room
select exists (
    select from realtime.membership mine join realtime.membership theirs using (room)
    where mine.user_id = %(one)s and theirs.user_id = %(other)s
)
"""


class Policy(Protocol):
    """Decides. Whatever it raises is a no, and is logged."""

    async def may_join(self, user_id: str, room: str) -> bool:
        """Whether a user may enter a room, read its history and write to it."""
        ...

    async def may_call(self, caller: str, callee: str) -> bool:
        """Whether a user may let another's devices ring."""
        ...


class Enrolment:
    """The policy unless another is given: a user's own room, and the rooms of courses that they are enrolled in.

    Enrolled is who has a row in `realtime.membership`, which the application writes by `realtime.admit` in the
    transaction of the enrolment. A user may call those with whom they share a course.

    Args:
        pool: of connections to the database.
    """

    def __init__(self, pool: AsyncConnectionPool) -> None:
        self._pool = pool

    async def may_join(self, user_id: str, room: str) -> bool:
        """Whether it is the user's own room, or that of a course of theirs."""
        if kind_of(room) != "course":
            return owner_of(room) == user_id
        return await self._holds(IS_MEMBER, room=room, user_id=user_id)

    async def may_call(self, caller: str, callee: str) -> bool:
        """Whether the two share a course."""
        return await self._holds(SHARE_A_ROOM, one=caller, other=callee)

    async def _holds(self, statement: str, **arguments: str) -> bool:
        async with self._pool.connection() as connection:
            found = await (await connection.execute(statement.encode(), arguments)).fetchone()
        return found == (True,)
