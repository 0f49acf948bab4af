"""What notification, analytics and audit leave in the database, and what they make of nonsense."""

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import psycopg
import pytest
from psycopg import errors, sql
from sqlalchemy import create_engine

from app_integration.realtime.records import Kind, decode
from app_integration.workers import Worker
from app_integration.workers.analytics import worker as analytics
from app_integration.workers.analytics.rollups import daily, hourly
from app_integration.workers.audit import worker as audit
from app_integration.workers.audit.chain import Broken, Entry
from app_integration.workers.audit.verifying import verify_all
from app_integration.workers.integrations import worker as integrations
from app_integration.workers.notifications import worker as notification
from app_integration.workers.notifications.store import mark_read, notifications, unread
from tests.integration.workers.conftest import Connection, Produce, Run, rows, wait_until, way


def on(topic: str, start: Callable[..., Any]) -> Worker:
    worker: Worker = start({})[0]
    return replace(worker, topics=(topic,))


def outcomes(session: Connection, ids: list[str]) -> set[str] | None:
    """What became of messages, once something has become of all."""
    found = rows(session, "select outcome from worker.inbox where ce_id = any(%(ids)s)", ids=ids)
    return {outcome for (outcome,) in found} if len(found) == len(ids) else None


def test_a_notification_is_stored_and_pushed_in_one_commit_and_can_be_read(
    topic: str, session: Connection, produce: Produce, run: Run, url: str
) -> None:
    def tell(user: str, title: str, at: str) -> str:
        told = {"userId": user, "type": "course_reminder", "title": title, "message": "<b>In 15 minutes</b>"}
        return produce(topic, json.dumps(told).encode(), key=user, ce_type="notification.v1", ce_time=at)

    first, second = tell("u1", "First", "2026-01-01T00:00:00Z"), tell("u1", "Second", "2026-01-02T00:00:00Z")
    other = tell("u2", "Other", "2026-01-01T00:00:00Z")
    # The real-time side has no such name: it is stored, and there is nobody to push it to.
    away = tell("Zoë at home", "Kept", "2026-01-01T00:00:00Z")
    produce(topic, b"again", key="u1", id=first)
    with run(on(topic, notification.start)):
        wait_until(lambda: outcomes(session, [first, second, other, away]) == {"handled"})
    pushed = rows(session, "select topic, key, type, convert_from(payload, 'UTF8') from outbox.message order by seq")
    assert {(one[0], one[1], one[2]) for one in pushed} == {
        ("realtime-events", "user:u1", "realtime.notification"),
        ("realtime-events", "user:u2", "realtime.notification"),
    }
    assert len(pushed) == 3
    shown = next(json.loads(one[3]) for one in pushed if json.loads(one[3])["body"]["id"] == second)
    assert (shown["kind"], shown["to"], shown["body"]["title"]) == ("notification", "user:u1", "Second")
    # What real-time servers make of it is what was meant.
    assert decode(next(one[3] for one in pushed if second in one[3])).kind is Kind.NOTIFICATION
    assert rows(session, "select title from worker.notification where user_id = 'Zoë at home'") == [("Kept",)]

    with create_engine(url.replace("postgresql://", "postgresql+psycopg://")).begin() as connection:
        listed = connection.execute(notifications("u1")).mappings().all()
        assert [one["title"] for one in listed] == ["Second", "First"]
        page = notifications("u1", before=(listed[0]["created_at"], listed[0]["id"]), limit=5)
        assert [one["title"] for one in connection.execute(page).mappings()] == ["First"]
        assert connection.execute(unread("u1")).scalar_one() == 2
        assert connection.execute(mark_read("u2", [first])).all() == []
        assert connection.execute(mark_read("u1", [first, other])).scalars().all() == [first]
        assert [one["title"] for one in connection.execute(notifications("u1", unread_only=True)).mappings()] == [
            "Second"
        ]
        assert connection.execute(mark_read("u1")).scalars().all() == [second]
        assert connection.execute(unread("u2")).scalar_one() == 1
    connection.engine.dispose()


def test_events_are_counted_where_they_belong_however_late_and_often_they_come(
    topic: str, session: Connection, produce: Produce, run: Run, url: str
) -> None:
    def track(user: str, at: str, event: str = "course_viewed", **more: Any) -> str:
        told = {"userId": user, "event": event, "occurredAt": at, **more}
        return produce(topic, json.dumps(told).encode(), key=user, ce_type="analytics_event.v1")

    ids = [
        track("u1", "2026-01-31T23:59:59.999Z"),
        track("u1", "2026-02-01T00:00:00Z"),
        track("u2", "2026-02-01T01:30:00+01:30"),
        track("u2", "2026-01-31T23:10:00Z", properties={"a": 1}),
        track("u1", "2025-06-01T12:00:00Z"),
        track("u1", "2026-02-01T00:00:00Z", event="login"),
    ]
    for one in ids[:2]:
        produce(topic, b"again", key="u1", id=one)
    future = track("u1", (datetime.now(UTC) + timedelta(days=3)).isoformat())
    with run(on(topic, analytics.start)):
        wait_until(lambda: outcomes(session, ids) == {"handled"})
        wait_until(lambda: outcomes(session, [future]) == {"dead"})
    midnight, day = datetime(2026, 2, 1, tzinfo=UTC), timedelta(days=1)
    with create_engine(url.replace("postgresql://", "postgresql+psycopg://")).connect() as connection:
        by_hour = connection.execute(hourly("course_viewed", since=midnight - day, until=midnight + day)).all()
        assert [tuple(row) for row in by_hour] == [(midnight - timedelta(hours=1), 2), (midnight, 2)]
        by_day = connection.execute(daily("course_viewed", since=date(2025, 1, 1), until=date(2027, 1, 1))).all()
        assert [tuple(row) for row in by_day] == [
            (date(2025, 6, 1), 1, 1),
            (date(2026, 1, 31), 2, 2),
            (date(2026, 2, 1), 2, 2),
        ]
        of_one = daily("course_viewed", since=date(2026, 1, 1), until=date(2027, 1, 1), user_id="u1")
        assert [tuple(row) for row in connection.execute(of_one)] == [
            (date(2026, 1, 31), 1, 1),
            (date(2026, 2, 1), 1, 1),
        ]
    connection.engine.dispose()
    assert rows(session, "select sum(count)::int from worker.analytics_hourly") == [(6,)]


def test_two_instances_append_to_one_chain_without_a_gap_and_each_change_shows(
    topic: str, session: Connection, produce: Produce, run: Run
) -> None:
    def log(chain: str, n: int) -> str:
        entry = {"userId": "u", "action": "profile_updated", "resource": "user", "details": {"n": n, "é": "\u2028"}}
        return produce(topic, json.dumps({**entry, "chain": chain}).encode(), ce_type="audit_entry.v1")

    ids = [log(("main", "other")[n % 2], n) for n in range(60)]
    worker = replace(on(topic, audit.start), batch=3)
    with run(worker), run(worker):
        wait_until(lambda: outcomes(session, ids) == {"handled"})
    assert [(one.chain, one.number) for one in verify_all(session) if isinstance(one, Entry)] == [
        ("main", 30),
        ("other", 30),
    ]
    said = [json.loads(text) for (text,) in rows(session, "select entry from worker.audit_entry")]
    assert sorted(one["details"]["n"] for one in said) == list(range(60))
    assert {one["id"] for one in said} == set(ids)

    session.execute("alter table worker.audit_entry disable trigger all")
    session.execute(
        "update worker.audit_entry set entry = replace(entry, 'profile_updated', 'nothing')"
        " where chain = 'main' and number = 7"
    )
    session.execute("delete from worker.audit_entry where chain = 'other' and number = 1")
    assert [(one.chain, one.number) for one in verify_all(session) if isinstance(one, Broken)] == [
        ("main", 7),
        ("other", 1),
    ]


@pytest.mark.parametrize(
    "statement",
    [
        "update worker.audit_entry set entry = '{}'",
        "delete from worker.audit_entry",
        "truncate worker.audit_entry",
        "update worker.audit_entry set hash = hash where false",
        "alter table worker.audit_entry disable trigger all",
        "drop trigger audit_entry_is_append_only on worker.audit_entry",
        "drop table worker.audit_entry",
        "create or replace function worker.refuse_change() returns trigger language sql as ''",
        "set session_replication_role = replica",
    ],
)
def test_the_workers_role_can_append_to_the_audit_log_and_do_nothing_else_to_it(
    session: Connection, statement: str
) -> None:
    append = "insert into worker.audit_entry values ('main', 1, '{}', sha256('x'))"
    with pytest.raises(errors.Error), session.transaction():
        session.execute("set local role outbox_worker")
        session.execute(append)
        session.execute(sql.SQL(statement))
    with session.transaction():
        session.execute("set local role outbox_worker")
        session.execute(append)
    if statement.partition(" ")[0] in {"update", "delete", "truncate"}:
        # Whoever was given the right by mistake is refused by the trigger, and so is the owner.
        with pytest.raises(errors.InsufficientPrivilege, match="is append-only"):
            session.execute(sql.SQL(statement))
    assert rows(session, "select count(*) from worker.audit_entry") == [(1,)]


def test_a_workers_role_needs_no_more_than_the_migration_gave_it(
    topic: str, session: Connection, produce: Produce, run: Run, url: str
) -> None:
    session.execute("grant usage on schema outbox to outbox_worker")
    session.execute(
        "grant insert (id, topic, key, type, payload, content_type, headers, deliver_after) on outbox.message"
        " to outbox_worker"
    )
    session.execute("grant select on sequence outbox.slot to outbox_worker")
    limited = psycopg.conninfo.make_conninfo(url, options="-c role=outbox_worker")
    told = {"userId": "u", "type": "news", "title": "t", "message": "m"}
    one = produce(topic, json.dumps(told).encode(), ce_type="notification.v1")
    bad = produce(topic, b"{", ce_type="notification.v1")
    with run(on(topic, notification.start), database_url=limited):
        wait_until(lambda: outcomes(session, [one]) == {"handled"})
        wait_until(lambda: outcomes(session, [bad]) == {"dead"})


GOOD: dict[Any, tuple[str, dict[str, str]]] = {
    notification.start: ("notification", {"userId": "u", "type": "news", "title": "t", "message": "m"}),
    analytics.start: ("analytics_event", {"userId": "u", "event": "seen", "occurredAt": "2026-01-01T00:00:00Z"}),
    audit.start: ("audit_entry", {"userId": "u", "action": "done", "resource": "thing"}),
    integrations.start: ("user_registered", {"userId": "u", "email": "a@example.com", "userType": "student"}),
}
"""Of each worker: the name of a message that it takes, and one."""


@pytest.mark.parametrize("start", GOOD, ids=lambda start: GOOD[start][0])
def test_nonsense_on_any_topic_is_dead_with_its_reason_and_what_follows_is_handled(
    topic: str, session: Connection, produce: Produce, run: Run, start: Callable[..., Any]
) -> None:
    values = (b"", b"{", b"[]", b"\xff", b"{}", b'{"a":' * 5000, None)
    type_, good = GOOD[start]
    ids = [produce(topic, value, key="k", ce_type=f"{type_}.v1") for value in values]
    future = produce(topic, b"{}", key="k", ce_type=f"{type_}.v2")
    after = produce(topic, json.dumps(good).encode(), key="k", ce_type=f"{type_}.v1")
    with run(on(topic, start)):
        wait_until(lambda: outcomes(session, [*ids, future]) == {"dead"})
        wait_until(lambda: outcomes(session, [after]) == {"handled"})
    assert "future-version" in way(session, future)[0][3]
    assert {way(session, one)[0][3].partition(":")[0] for one in ids} == {"malformed", "invalid"}
    assert rows(session, "select count(*) from worker.held where dead_at is not null") == [(len(ids) + 1,)]
