"""The worker `analytics`: counts events in the hour and day in which they happened (UTC), whenever they arrive.

Idempotent by the inbox: the counts and the mark that a message was counted are one commit.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from app_integration.contracts import KAFKA_TOPICS, AnalyticsEvent
from app_integration.workers.contract import read
from app_integration.workers.received import Received
from app_integration.workers.verdict import Reject
from app_integration.workers.worker import Connection, Worker

COUNT = """
-- count_events: in the order of the key, so that two instances do not wait for each other
with counted as (
    select * from unnest(%(events)s::text[], %(users)s::text[], %(hours)s::timestamptz[], %(counts)s::bigint[])
                  as c(event, user_id, hour, count)
), hourly as (
    insert into worker.analytics_hourly as a (event, user_id, hour, count)
    select event, user_id, hour, count from counted order by event, hour, user_id
    on conflict (event, hour, user_id) do update set count = a.count + excluded.count
)
insert into worker.analytics_daily as a (event, user_id, day, count)
select event, user_id, (hour at time zone 'UTC')::date, sum(count) from counted group by 1, 2, 3 order by 1, 3, 2
on conflict (event, day, user_id) do update set count = a.count + excluded.count
"""

AHEAD = timedelta(days=1)
"""How far a clock may be ahead. Beyond that it is wrong, and would count what has not happened."""


def count_events(connection: Connection, messages: Sequence[Received]) -> None:
    """Count events, each group of event, user and hour with one row.

    Raises:
        Reject: one of them is no event, or of the future.
    """
    groups = sorted(Counter(map(_group, messages)).items())
    connection.execute(
        COUNT,
        {
            "events": [event for (event, _, _), _ in groups],
            "users": [user for (_, user, _), _ in groups],
            "hours": [hour for (_, _, hour), _ in groups],
            "counts": [count for _, count in groups],
        },
    )


def _group(message: Received) -> tuple[str, str, datetime]:
    event = read(message, AnalyticsEvent, KAFKA_TOPICS.ANALYTICS_EVENTS)
    happened = event.occurred_at.astimezone(UTC)
    if happened > datetime.now(UTC) + AHEAD:
        raise Reject(f"occurredAt is {happened.isoformat()}, which is more than a day ahead")
    return event.event, event.user_id, happened.replace(minute=0, second=0, microsecond=0)


def start(_environ: Mapping[str, str]) -> tuple[Worker, Sequence[Any]]:
    """Make the worker; it has no settings of its own."""
    topics = (KAFKA_TOPICS.ANALYTICS_EVENTS.value,)
    return Worker("analytics", topics, handle_many=count_events, batch=500), ()
