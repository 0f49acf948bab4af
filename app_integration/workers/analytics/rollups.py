"""What was counted, as statements for any session or connection of SQLAlchemy. Pure: built here, executed elsewhere.

session.execute(hourly("course_viewed", since=monday, until=friday)).all()
"""

from datetime import date, datetime

from sqlalchemy import TextClause, text

HOURLY = """
-- analytics_hourly: rows of (hour, count)
select hour, sum(count)::bigint as count from worker.analytics_hourly
where event = :event and hour >= :since and hour < :until and (cast(:user_id as text) is null or user_id = :user_id)
group by hour order by hour
"""

DAILY = """
-- analytics_daily: rows of (day, count, users)
select day, sum(count)::bigint as count, count(*) as users from worker.analytics_daily
where event = :event and day >= :since and day < :until and (cast(:user_id as text) is null or user_id = :user_id)
group by day order by day
"""


def hourly(event: str, *, since: datetime, until: datetime, user_id: str | None = None) -> TextClause:
    """Count an event by hour.

    Args:
        event: its name.
        since: with a time zone; the hours from this one on.
        until: with a time zone; the hours before this one.
        user_id: of one user; of all unless given.
    """
    return text(HOURLY).bindparams(event=event, since=since, until=until, user_id=user_id)


def daily(event: str, *, since: date, until: date, user_id: str | None = None) -> TextClause:
    """Count an event by day in UTC, with how many users it was; arguments as for `hourly`."""
    return text(DAILY).bindparams(event=event, since=since, until=until, user_id=user_id)
