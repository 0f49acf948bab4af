"""A connection's messages are written at once, in its own transaction, and never without one."""

import json
import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import psycopg
import pytest
from psycopg.rows import dict_row
from sqlalchemy import Engine, create_engine, text

from app_integration import InvalidMessage, NewMessage, NoTransaction, Payload, enqueue, enqueue_many
from tests.integration.enqueueing import committed, engine_of, url


@pytest.fixture
def engine(database: str) -> Iterator[Engine]:
    with engine_of(database) as engine:
        yield engine


@pytest.fixture
def pg(database: str) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(database) as connection:
        yield connection


def test_a_core_connections_message_is_committed_or_rolled_back_with_it(engine: Engine, database: str) -> None:
    with engine.begin() as connection:
        made = enqueue(connection, "orders", {"quote": '\\"'}, key="kept")
    with engine.connect() as connection:
        enqueue(connection, "orders", {}, key="not committed")
    assert committed(database) == ["kept"]
    assert committed(database, "id") == [made]
    assert committed(database, "convert_from(payload, 'UTF8')") == ['{"quote":"\\\\\\""}']


def test_a_savepoint_of_a_core_connection_takes_its_messages(engine: Engine, database: str) -> None:
    with engine.begin() as connection:
        enqueue(connection, "orders", None, key="before")
        savepoint = connection.begin_nested()
        enqueue(connection, "orders", None, key="inside")
        savepoint.rollback()
        enqueue(connection, "orders", None, key="after")
    assert committed(database) == ["before", "after"]


@pytest.mark.parametrize("where", ["engine", "option"])
def test_a_core_connection_in_autocommit_is_refused(database: str, where: str) -> None:
    options = {"isolation_level": "AUTOCOMMIT"} if where == "engine" else {}
    engine = create_engine(url(database), **options)
    with engine.connect() as connection:
        if where == "option":
            connection.execution_options(isolation_level="AUTOCOMMIT")
        # SQLAlchemy calls this a transaction; the server knows of none.
        with connection.begin(), pytest.raises(NoTransaction, match="AUTOCOMMIT"):
            enqueue(connection, "orders", {})
    engine.dispose()
    assert committed(database) == []


def test_a_prepared_core_connection_can_be_prepared_while_every_relay_sleeps(engine: Engine, database: str) -> None:
    with engine.connect() as connection:
        transaction = connection.begin_twophase()
        enqueue(connection, "orders", {}, key="prepared")
        transaction.prepare()
        transaction.commit()
    assert committed(database) == ["prepared"]


def test_a_psycopg_connections_message_is_committed_or_rolled_back_with_it(
    pg: psycopg.Connection[Any], database: str
) -> None:
    enqueue(pg, "orders", {"a": 1}, key="kept", headers={"h": "ä"})
    pg.commit()
    enqueue(pg, "orders", {}, key="gone")
    pg.rollback()
    assert committed(database) == ["kept"]
    assert committed(database, "headers") == [{"h": "ä"}]


def test_a_psycopg_connection_in_autocommit_needs_a_transaction_open(database: str) -> None:
    with psycopg.connect(database, autocommit=True) as pg:
        with pytest.raises(NoTransaction, match=r"with connection\.transaction\(\)"):
            enqueue(pg, "orders", {})
        with pytest.raises(NoTransaction):
            enqueue_many(pg, [NewMessage(topic="orders", payload={})])
        with pg.transaction():
            enqueue(pg, "orders", {}, key="inside")
        with pg.pipeline(), pg.transaction():
            enqueue(pg, "orders", {}, key="in a pipeline")
    assert committed(database) == ["inside", "in a pipeline"]


@pytest.mark.parametrize("factory", [psycopg.Cursor, psycopg.ClientCursor, psycopg.RawCursor])
def test_a_psycopg_connection_may_have_cursors_and_rows_of_its_own(database: str, factory: Any) -> None:
    with psycopg.connect(database, cursor_factory=factory, row_factory=dict_row) as pg:
        enqueue(pg, "orders", {}, key="one")
        enqueue_many(pg, [NewMessage(topic="orders", payload=None, key=key) for key in ("two", "three")])
    assert committed(database) == ["one", "two", "three"]


def hexadecimal(payload: Payload) -> str | None:
    assert payload is None or isinstance(payload, bytes)
    return None if payload is None else payload.hex()


@pytest.mark.parametrize("count", [0, 1, 2, 1_000, 2_001])
def test_many_messages_keep_their_order_and_all_their_fields(
    pg: psycopg.Connection[Any], engine: Engine, database: str, count: int
) -> None:
    messages = [
        NewMessage(
            topic="orders",
            payload=None if number % 3 == 0 else os.urandom(1 + number % 7),
            key=None if number % 5 == 0 else str(number),
            type=None if number % 2 else "ordered",
            headers={"number": str(number)},
            deliver_after=None if number % 4 else datetime.now(UTC).replace(microsecond=0) + timedelta(hours=number),
        )
        for number in range(count)
    ]
    made = enqueue_many(pg, messages)
    pg.commit()
    with engine.begin() as connection:
        again = enqueue_many(connection, messages)
    assert committed(database, "id") == made + again
    expected = [(m.topic, m.key, m.type, hexadecimal(m.payload), json.dumps(m.headers)) for m in messages] * 2
    assert committed(database, "(topic, key, type, encode(payload, 'hex'), headers)") == expected
    assert committed(database, "deliver_after") == [m.deliver_after for m in messages] * 2


@pytest.mark.parametrize(
    "when",
    [
        datetime.min.replace(tzinfo=UTC),
        datetime(1969, 12, 31, tzinfo=UTC),
        datetime(2026, 1, 31, 3, tzinfo=timezone(timedelta(hours=13))),
        (datetime.now(UTC) + timedelta(days=3652)).replace(microsecond=0),
    ],
)
def test_any_time_of_delivery_that_is_taken_is_stored_as_it_is(engine: Engine, database: str, when: datetime) -> None:
    with engine.begin() as connection:
        enqueue(connection, "orders", {}, deliver_after=when)
    assert committed(database, "to_char(deliver_after at time zone 'UTC', 'YYYY-MM-DD HH24:MI:SS')") == [
        when.astimezone(UTC).isoformat(sep=" ").removesuffix("+00:00")
    ]


def test_many_are_refused_as_a_whole(pg: psycopg.Connection[Any], database: str) -> None:
    good = [NewMessage(topic="orders", payload={}) for _ in range(1_500)]
    with pytest.raises(InvalidMessage, match=r"messages\[1500\]\.topic"):
        enqueue_many(pg, [*good, NewMessage(topic="no topic", payload={})])
    pg.commit()
    assert committed(database) == []


@pytest.mark.parametrize("thing", [None, "postgresql://", 1, object()])
def test_what_is_no_connection_is_refused_with_what_is(thing: Any) -> None:
    with pytest.raises(NoTransaction, match=r"has no transaction; pass a SQLAlchemy Session"):
        enqueue(thing, "orders", {})


def test_an_engine_is_not_a_connection(engine: Engine) -> None:
    with pytest.raises(NoTransaction, match=r"sqlalchemy\.engine\.base\.Engine"):
        enqueue(engine, "orders", {})  # type: ignore[call-overload]


def test_a_role_that_may_only_insert_the_writers_columns_can_enqueue(engine: Engine, database: str) -> None:
    """The application's role: no `select`, so no `RETURNING`, and no right to `xid`, `seq`, `slot` or `shard`."""
    with psycopg.connect(database) as connection:
        connection.execute("create role writer_of_the_test in role outbox_application")
    try:
        with engine.begin() as sqlalchemy_connection, psycopg.connect(database) as pg:
            sqlalchemy_connection.execute(text("set local role writer_of_the_test"))
            enqueue(sqlalchemy_connection, "orders", {}, key="core")
            pg.execute("set local role writer_of_the_test")
            enqueue_many(pg, [NewMessage(topic="orders", payload={}, key=key) for key in ("one", "two")])
        assert sorted(committed(database)) == ["core", "one", "two"]
    finally:
        with psycopg.connect(database) as connection:
            connection.execute("drop owned by writer_of_the_test")
            connection.execute("drop role writer_of_the_test")
