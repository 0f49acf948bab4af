"""An insert rings while the relay sleeps, and costs nobody anything while it is awake."""

import socket
from collections.abc import Iterator
from contextlib import closing

import psycopg
import pytest

from relay.connection import connect
from relay.reading.bell import Bell
from relay.reading.doorbell import LISTEN, Doorbell
from tests.faults.world import wait_until

INSERT = "insert into outbox.message (topic, key) values ('t', 'k')"
Connection = psycopg.Connection[tuple[object, ...]]


@pytest.fixture
def ear(database: str) -> Iterator[Connection]:
    with connect(database, "ear") as connection:
        connection.execute(LISTEN)
        yield connection


@pytest.fixture
def bell(database: str) -> Iterator[Doorbell]:
    doorbell = Doorbell(connect(database, "bell"))
    yield doorbell
    doorbell.close()


@pytest.fixture
def application(database: str) -> Iterator[Connection]:
    with psycopg.connect(database, autocommit=True) as connection:
        yield connection


def rings(ear: Connection) -> int:
    """How many notifications have come; all that were sent before this call are there."""
    ear.execute("select 1")
    return len(list(ear.notifies(timeout=0)))


def held(connection: Connection) -> int:
    row = connection.execute(
        "select count(*) from pg_locks where locktype = 'advisory' and mode = 'ExclusiveLock' and granted "
        "and database = (select oid from pg_database where datname = current_database())"
    ).fetchone()
    assert row is not None
    return int(str(row[0]))


def test_an_insert_rings_the_sleeping_relay_once_per_transaction(ear: Connection, application: Connection) -> None:
    with application.transaction():
        for _ in range(5):
            application.execute(INSERT)
    assert rings(ear) == 1


@pytest.mark.parametrize("payload", ["9" * 5_000, "-1", "16", "³", "1 ", "", "x" * 7_999])
def test_ring_of_a_stranger_is_none_and_ends_nobody(
    ear: Connection, bell: Doorbell, application: Connection, payload: str
) -> None:
    woken, told = socket.socketpair()
    with closing(woken), closing(told):
        hearing = Bell(ear, bell, 3600, woken)
        hearing.serve(frozenset(range(16)))

        def heard() -> set[int]:
            hearing.rest(0.05)
            return hearing._rang

        application.execute("select pg_notify('outbox', %s)", (payload,))
        application.execute("select pg_notify('outbox', '7')")
        wait_until(lambda: bool(heard()), 10)
        assert hearing._rang == {7}


def test_no_insert_rings_while_the_relay_is_awake(ear: Connection, application: Connection, bell: Doorbell) -> None:
    bell.silence(range(16))
    wait_until(lambda: held(application) == 16, 5)
    application.execute(INSERT)
    assert rings(ear) == 0
    bell.rearm()
    application.execute(INSERT)
    assert rings(ear) == 1


def test_an_open_transaction_that_rang_does_not_keep_others_ringing(
    database: str, ear: Connection, application: Connection, bell: Doorbell
) -> None:
    with psycopg.connect(database) as open_one:
        open_one.execute(INSERT)
        bell.silence(range(16))
        wait_until(lambda: held(application) == 15, 5)
        application.execute("insert into outbox.message (topic) select 't' from generate_series(1, 64)")
        open_one.rollback()
        wait_until(lambda: held(application) == 16, 5)
        ear.execute("select 1")
        list(ear.notifies(timeout=0))
        application.execute(INSERT)
        assert rings(ear) == 0


def test_a_transaction_to_be_prepared_can_switch_the_bell_off(ear: Connection, application: Connection) -> None:
    with application.transaction():
        application.execute("set local outbox.doorbell = off")
        application.execute(INSERT)
    assert rings(ear) == 0
    application.execute(INSERT)
    assert rings(ear) == 1


def waits(connection: Connection) -> bool:
    return (
        connection.execute(
            "select 1 from pg_locks where locktype = 'advisory' and mode = 'ExclusiveLock' and not granted "
            "and database = (select oid from pg_database where datname = current_database())"
        ).fetchone()
        is not None
    )


def test_the_bell_is_armed_again_at_once_beside_a_transaction_that_is_left_open(
    ear: Connection, application: Connection, database: str, bell: Doorbell, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The relay stands in the queue for the lock of that transaction, for half a minute in the end."""
    monkeypatch.setattr("relay.reading.doorbell.FIRST_WAIT", 3600)
    with psycopg.connect(database) as left_open:
        left_open.execute(INSERT)
        bell.silence(range(16))
        wait_until(lambda: waits(application), 5)
        bell.rearm()
        assert not bell.silenced
        assert held(application) == 0
        application.execute(INSERT)
        assert rings(ear) == 1


def test_a_relay_ends_at_once_beside_a_transaction_that_is_left_open(
    application: Connection, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("relay.reading.doorbell.FIRST_WAIT", 3600)
    doorbell = Doorbell(connect(database, "bell"))
    with psycopg.connect(database) as left_open:
        left_open.execute(INSERT)
        doorbell.silence(range(16))
        wait_until(lambda: waits(application), 5)
        doorbell.close()
        wait_until(lambda: held(application) == 0 and not waits(application), 5)
