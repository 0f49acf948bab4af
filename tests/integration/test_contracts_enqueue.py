"""The guide's five functions on real transactions: what they tell is committed with the caller's, or never."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from sqlalchemy import create_engine
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import Session

from app_integration import InvalidMessage
from app_integration.contracts import (
    CourseEnrolled,
    Email,
    Identifier,
    Message,
    Money,
    decode,
    enqueue_message,
    log_audit,
    publish_business_event,
    queue_email,
    queue_notification,
    track_event,
)

READ = "select topic, key, type, payload, headers from outbox.message order by seq"


def driver(url: str) -> str:
    return url.replace("postgresql://", "postgresql+psycopg://")


def tell(session: Any) -> list[Any]:
    return [
        publish_business_event(
            session, "user_registered", {"userId": "7", "email": "ada@example.com", "userType": "student"}
        ),
        publish_business_event(
            session,
            CourseEnrolled(user_id="7", course_id="algebra", price=Money(amount="49", currency="EUR")),  # type: ignore[arg-type]
        ),
        queue_email(
            session, to="ada@example.com", subject="Welcome!", template="welcome", data={"name": "Ada"}, user_id="7"
        ),
        track_event(session, user_id="7", event="course_viewed", properties={"courseId": "algebra"}),
        log_audit(session, user_id="7", action="profile_updated", resource="user", details={"fields": ["name"]}),
        queue_notification(session, user_id="7", type="course_reminder", title="Soon", message="In 15 minutes"),
    ]


def stored(url: str) -> list[Any]:
    with psycopg.connect(url) as connection:
        return connection.execute(READ.encode()).fetchall()


EXPECTED = [
    ("business-events", "7", "user_registered.v1"),
    ("business-events", "7", "course_enrolled.v1"),
    ("email-queue", "7", "email.v1"),
    ("analytics-events", "7", "analytics_event.v1"),
    ("audit-logs", "main", "audit_entry.v1"),
    ("notification-queue", "7", "notification.v1"),
]


def test_what_a_session_commits_is_told_and_what_it_rolls_back_is_not(database: str) -> None:
    engine = create_engine(driver(database))
    with Session(engine) as session:
        tell(session)
        session.rollback()
        ids = tell(session)
        session.commit()
    engine.dispose()
    rows = stored(database)
    assert [row[:3] for row in rows] == EXPECTED
    assert len(set(ids)) == len(rows)
    heard = [decode(topic, {"ce_type": kind}, payload) for topic, _, kind, payload, _ in rows]
    assert isinstance(heard[1], CourseEnrolled)
    assert str(heard[1].price) == "49.00 EUR"


async def on_async_session(url: str) -> None:
    engine = create_async_engine(driver(url))
    async with AsyncSession(engine) as session:
        tell(session)
        await session.rollback()
        tell(session)
        await session.commit()
    await engine.dispose()


async def on_async_connection(url: str) -> None:
    async with await psycopg.AsyncConnection.connect(url) as connection:
        for telling in tell(connection):
            await telling


@pytest.mark.parametrize("way", [on_async_session, on_async_connection])
def test_asynchronous_sessions_and_connections_tell_the_same(database: str, way: Callable[[str], Any]) -> None:
    asyncio.run(way(database))
    assert [row[:3] for row in stored(database)] == EXPECTED


def test_what_is_wrong_is_refused_at_the_call_by_the_name_of_the_field_and_nothing_is_written(database: str) -> None:
    class Unregistered(Message):
        user_id: Identifier

    mail: dict[str, Any] = {"to": "a@example.com", "subject": "x", "template": "welcome", "data": {"name": "A"}}
    wrong: list[tuple[str, Callable[[Session], Any]]] = [
        ("to", lambda s: queue_email(s, **{**mail, "to": "nobody"})),
        ("subject", lambda s: queue_email(s, **{**mail, "subject": "x\nBcc: y"})),
        ("template", lambda s: queue_email(s, **{**mail, "template": "welcom"})),
        ("data.name", lambda s: queue_email(s, **{**mail, "data": {}})),
        ("data.name", lambda s: queue_email(s, **{**mail, "data": {"name": None}})),
        ("payload.data.at", lambda s: queue_email(s, **{**mail, "data": {"name": "A", "at": object()}})),
        ("event", lambda s: publish_business_event(s, "user_registred", {})),
        ("event", lambda s: publish_business_event(s, Email(**mail))),
        ("message", lambda s: enqueue_message(s, Unregistered(user_id="7"))),
        ("userType", lambda s: publish_business_event(s, "user_registered", {"userId": 7, "email": "a@example.com"})),
        ("price.amount", lambda s: publish_business_event(s, "course_enrolled", price_of(-1))),
        ("user_id", lambda s: track_event(s, user_id="", event="seen")),
        ("chain", lambda s: log_audit(s, user_id=None, action="x", resource="y", chain="")),
        ("title", lambda s: queue_notification(s, user_id="7", type="x", title="a\r\nb", message="y")),
        ("deliver_after", lambda s: queue_email(s, **mail, deliver_after=datetime.now(UTC) + timedelta(days=9999))),
    ]
    engine = create_engine(driver(database))
    with Session(engine) as session:
        for field, call in wrong:
            with pytest.raises(InvalidMessage) as refused:
                call(session)
            assert refused.value.field == field, str(refused.value)
        session.commit()
    engine.dispose()
    assert stored(database) == []


def price_of(amount: Any) -> dict[str, Any]:
    return {"userId": 7, "courseId": 1, "price": {"amount": amount, "currency": "EUR"}}
