"""A seat in a course is also a place in its room of the real-time side, where there is one.

Guarantees: in the caller's transaction, so nobody is in the room of a course that they have not paid for.
"""

from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

HAVE_REAL_TIME = text("""
-- have_real_time
select to_regprocedure('realtime.admit(text, text)') is not null
""")

ADMIT = text("""
-- admit
select realtime.admit(:room, :user_id)
""")


async def admit(session: AsyncSession, course_id: UUID, user_id: UUID) -> None:
    """Let a user into the room `course:<id>`; nothing happens where the schema `realtime` is not installed."""
    if (await session.execute(HAVE_REAL_TIME)).scalar_one():
        await session.execute(ADMIT, {"room": f"course:{course_id}", "user_id": str(user_id)})
