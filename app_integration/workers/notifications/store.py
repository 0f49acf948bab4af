"""A user's notifications, as statements for any session or connection of SQLAlchemy, of either kind. Pure.

rows = session.execute(notifications(user.id, limit=20)).mappings().all()
session.execute(mark_read(user.id, [rows[0]["id"]]))
"""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import TextClause, text

NEWEST = """
-- notifications_of_user: newest first; `before` and `before_id` are those of the last row of the page before
select id, type, title, message, created_at, read_at from worker.notification
where user_id = :user_id and (not :unread_only or read_at is null)
  and (cast(:before as timestamptz) is null or (created_at, id) < (:before, :before_id))
order by created_at desc, id desc limit :limit
"""

UNREAD = """
-- unread_of_user
select count(*) from worker.notification where user_id = :user_id and read_at is null
"""

MARK_READ = """
-- mark_read: those of this user alone, whatever ids are asked for; returns those that were unread
update worker.notification set read_at = clock_timestamp()
where user_id = :user_id and read_at is null and (cast(:ids as text[]) is null or id = any(:ids))
returning id
"""


def notifications(
    user_id: str,
    *,
    unread_only: bool = False,
    limit: int = 50,
    before: tuple[datetime, str] | None = None,
) -> TextClause:
    """List a user's notifications, newest first: id, type, title, message, created_at, read_at.

    Args:
        user_id: whose.
        unread_only: whether those that were read are left out.
        limit: how many at most.
        before: `created_at` and `id` of the last one that is known, for the next page.
    """
    at, last = before or (None, None)
    return text(NEWEST).bindparams(user_id=user_id, unread_only=unread_only, limit=limit, before=at, before_id=last)


def unread(user_id: str) -> TextClause:
    """Count what a user has not read."""
    return text(UNREAD).bindparams(user_id=user_id)


def mark_read(user_id: str, ids: Sequence[str] | None = None) -> TextClause:
    """Mark as read some of a user's notifications, or all; returns the ids of those that were unread.

    Args:
        user_id: whose; another user's are never touched.
        ids: which; None for all.
    """
    return text(MARK_READ).bindparams(user_id=user_id, ids=None if ids is None else list(ids))
