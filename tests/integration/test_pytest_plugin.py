"""The fixture `outbox` in an application's own test suite: real suites, run by a pytest of their own."""

from pathlib import Path

import pytest

from tests.integration.enqueueing import committed, engine_of, url

pytest_plugins = ["pytester"]

CONFTEST = '''
import os

import pytest
from sqlalchemy import create_engine
from sqlalchemy.orm import Session


@pytest.fixture(scope="session")
def engine():
    engine = create_engine(os.environ["APPLICATION_DATABASE"])
    yield engine
    engine.dispose()


@pytest.fixture
def session(engine):
    """Rollback per test, as SQLAlchemy's documentation has it."""
    with engine.connect() as connection:
        transaction = connection.begin()
        with Session(connection, join_transaction_mode="create_savepoint") as session:
            yield session
        transaction.rollback()
'''

PASSING = """
import asyncio
import os
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from types import SimpleNamespace

import psycopg
import pytest
from pydantic import BaseModel
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import scoped_session, sessionmaker

from app_integration import NewMessage, enqueue, enqueue_many


def place_order(transaction, key="o-1"):
    return enqueue(
        transaction, "orders", {"total": Decimal("12.50")}, key=key, type="order.placed", headers={"trace": "t"}
    )


def test_nothing_is_there_to_begin_with(session, outbox):
    outbox.assert_nothing_enqueued(session)
    assert outbox.messages(session) == []


@pytest.mark.parametrize("state", ["waiting", "flushed", "committed"])
def test_a_message_is_seen_in_every_state_and_left_in_it(session, outbox, state):
    made = place_order(session)
    if state == "flushed":
        session.begin_nested()
    if state == "committed":
        session.commit()
    for _ in range(2):
        message = outbox.assert_enqueued(
            session, topic="orders", key="o-1", type="order.placed", payload={"total": "12.50"}, headers={"trace": "t"}
        )
    assert message.id == made
    assert message.content_type == "application/json"
    assert outbox.messages(session) == [message]


@pytest.mark.parametrize("written", [False, True])
def test_the_time_of_delivery_is_seen(session, outbox, written):
    when = datetime.now(UTC) + timedelta(hours=1)
    enqueue(session, "reminders", {}, key="later", deliver_after=when)
    enqueue(session, "reminders", {}, key="now")
    if written:
        session.commit()
    assert outbox.assert_enqueued(session, topic="reminders", deliver_after=when).key == "later"
    assert outbox.assert_enqueued(session, topic="reminders", deliver_after=None).deliver_after is None


def test_a_test_after_another_sees_nothing_of_it(session, outbox):
    outbox.assert_nothing_enqueued(session)


def test_an_expected_payload_may_have_any_form_that_can_be_enqueued(session, outbox):
    class Order(BaseModel):
        total: Decimal
        at: datetime

    order = Order(total=Decimal("1.10"), at=datetime(2026, 1, 2, tzinfo=UTC))
    enqueue(session, "orders", order, key="model")
    enqueue(session, "orders", b"\\x00", key="raw")
    enqueue(session, "orders", None, key="tombstone")
    outbox.assert_enqueued(session, payload=order)
    outbox.assert_enqueued(session, payload={"total": "1.10", "at": "2026-01-02T00:00:00+00:00"})
    outbox.assert_enqueued(session, key="raw", payload=b"\\x00")
    assert outbox.assert_enqueued(session, payload=None).key == "tombstone"


def test_what_a_savepoint_rolled_back_is_not_seen(session, outbox):
    with pytest.raises(ZeroDivisionError), session.begin_nested():
        place_order(session)
        session.flush()
        raise ZeroDivisionError
    outbox.assert_nothing_enqueued(session)


def test_order_is_kept_between_what_is_written_and_what_waits(session, outbox):
    place_order(session, "1")
    session.commit()
    place_order(session, "2")
    assert [message.key for message in outbox.messages(session)] == ["1", "2"]


def test_connections_and_scoped_sessions_are_looked_at_too(session, engine, outbox):
    place_order(session.connection(), "core")
    outbox.assert_enqueued(session.connection(), key="core")
    with psycopg.connect(os.environ["APPLICATION_DATABASE"].replace("+psycopg", "")) as connection:
        connection.row_factory = psycopg.rows.dict_row
        place_order(connection, "psycopg")
        outbox.assert_enqueued(connection, key="psycopg")
        connection.rollback()
    scoped = scoped_session(sessionmaker(engine))
    place_order(scoped, "scoped")
    outbox.assert_enqueued(scoped, key="scoped")
    scoped.rollback()
    scoped.remove()


def test_messages_that_were_committed_for_real_are_seen_when_asked_for(engine, outbox):
    with engine.begin() as connection:
        place_order(connection, "for real")
    with engine.connect() as connection:
        outbox.assert_nothing_enqueued(connection)
        outbox.assert_enqueued(connection, key="for real", committed=True)


@pytest.mark.parametrize("driver", ["psycopg", "asyncpg"])
def test_asynchronous_sessions_and_connections_are_awaited(outbox, driver):
    async def work():
        engine = create_async_engine(os.environ["APPLICATION_DATABASE"].replace("+psycopg", f"+{driver}"))
        async with engine.connect() as connection:
            transaction = await connection.begin()
            async with AsyncSession(connection, join_transaction_mode="create_savepoint") as session:
                await outbox.assert_nothing_enqueued(session)
                place_order(session, "waiting")
                await outbox.assert_enqueued(session, key="waiting", payload={"total": "12.50"})
                await session.commit()
                message = await outbox.assert_enqueued(session, key="waiting", headers={"trace": "t"})
                await outbox.assert_enqueued(connection, key="waiting")
                assert await outbox.messages(session) == [message]
                with pytest.raises(AssertionError, match="no message was enqueued with key='other'"):
                    await outbox.assert_enqueued(session, key="other")
            await transaction.rollback()
        await engine.dispose()

    asyncio.run(work())


def test_an_asynchronous_psycopg_connection_is_awaited(outbox):
    async def work():
        url = os.environ["APPLICATION_DATABASE"].replace("+psycopg", "")
        async with await psycopg.AsyncConnection.connect(url) as connection:
            await place_order(connection, "async")
            await outbox.assert_enqueued(connection, key="async")
            await connection.rollback()

    asyncio.run(work())


def test_what_is_no_connection_is_refused(outbox):
    with pytest.raises(Exception, match="SimpleNamespace has no transaction"):
        outbox.messages(SimpleNamespace())
"""

FAILING = """
from app_integration import enqueue


def place_orders(session):
    for number in range(5):
        enqueue(session, "orders", {"n": number}, key=f"o-{number}", type="order.placed")


def test_none_fits(session, outbox):
    place_orders(session)
    outbox.assert_enqueued(session, topic="orders", key="o-3", payload={"n": 4})


def test_several_fit(session, outbox):
    place_orders(session)
    outbox.assert_enqueued(session, topic="orders")


def test_nothing_was_expected(session, outbox):
    place_orders(session)
    outbox.assert_nothing_enqueued(session)


def test_nothing_is_there(session, outbox):
    outbox.assert_enqueued(session, topic="orders")
"""


@pytest.fixture
def suite(pytester: pytest.Pytester, database: str, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """An application's project, whose database has the outbox."""
    monkeypatch.setenv("APPLICATION_DATABASE", url(database))
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]), prepend=":")
    with engine_of(database):
        pytester.makeconftest(CONFTEST)
    return pytester


def test_an_applications_suite_asserts_what_it_enqueued_and_leaves_nothing(
    suite: pytest.Pytester, database: str
) -> None:
    suite.makepyfile(PASSING)
    done = suite.runpytest_subprocess("-W", "error", "-p", "no:cacheprovider")
    done.assert_outcomes(passed=16)
    assert committed(database) == ["for real"]


def test_a_failing_assertion_shows_the_nearest_messages_and_no_inner_frames(suite: pytest.Pytester) -> None:
    suite.makepyfile(FAILING)
    done = suite.runpytest_subprocess("-p", "no:cacheprovider")
    done.assert_outcomes(failed=4)
    done.stdout.fnmatch_lines(
        [
            "*no message was enqueued with topic='orders', key='o-3', payload={'n': 4}",
            "*near: payload={'n': 3} where {'n': 4} was expected; same topic='orders', key='o-3'",
            "*near: key='o-4' where 'o-3' was expected; same topic='orders', payload={'n': 4}",
            "*and 2 more",
            "*5 messages fit, one was expected:",
            "*nothing was to be enqueued, but there is:",
            "*topic='orders', key='o-0', type='order.placed', payload={'n': 0}",
            "*nothing was enqueued in this transaction",
        ]
    )
    done.stdout.no_fnmatch_line("*inspector.py:*")
    done.stdout.no_fnmatch_line("*def _only*")
