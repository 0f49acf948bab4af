"""A session that joined a connection's transaction: its messages go with the real commit, or the commit is refused."""

import logging
from collections.abc import Iterator
from typing import Literal

import pytest
from sqlalchemy import Engine
from sqlalchemy.orm import Session

from app_integration import UnwrittenMessages, enqueue
from tests.integration.enqueueing import Account, accounts, committed, engine_of

Mode = Literal["conditional_savepoint", "rollback_only", "control_fully", "create_savepoint"]
MODES: tuple[Mode, ...] = ("conditional_savepoint", "rollback_only", "control_fully", "create_savepoint")

each_mode = pytest.mark.parametrize("mode", MODES)


@pytest.fixture
def engine(database: str) -> Iterator[Engine]:
    with engine_of(database) as engine:
        yield engine


@each_mode
def test_a_sessions_commit_writes_and_the_connections_commit_commits(engine: Engine, database: str, mode: Mode) -> None:
    with engine.connect() as connection, connection.begin():
        with Session(connection, join_transaction_mode=mode) as session:
            session.add(Account(id=1))
            enqueue(session, "accounts", None, key="joined")
            session.commit()
        # Fully in control, the session has committed the connection's transaction itself.
        assert committed(database) == (["joined"] if mode == "control_fully" else [])
    assert committed(database) == ["joined"]


@each_mode
def test_the_connections_rollback_takes_the_messages(engine: Engine, database: str, mode: Mode) -> None:
    with engine.connect() as connection:
        outer = connection.begin()
        with Session(connection, join_transaction_mode=mode) as session:
            session.add(Account(id=1))
            enqueue(session, "accounts", None, key="joined")
            session.flush()
            outer.rollback()
    assert committed(database) == []


@each_mode
def test_a_commit_behind_the_sessions_back_is_refused_and_nothing_is_committed(
    engine: Engine, database: str, mode: Mode
) -> None:
    with (
        engine.connect() as connection,
        Session(connection, join_transaction_mode=mode) as session,
        pytest.raises(UnwrittenMessages, match=r"session\.commit\(\) first"),
        connection.begin(),
    ):
        session.add(Account(id=1))
        session.flush()
        enqueue(session, "accounts", None, key="left behind")
    assert accounts(database) == 0
    assert committed(database) == []


@pytest.mark.parametrize("mode", ["conditional_savepoint", "rollback_only"])
def test_a_session_that_leaves_its_rows_behind_may_not_leave_its_messages(
    engine: Engine, database: str, mode: Mode
) -> None:
    with engine.connect() as connection, pytest.raises(UnwrittenMessages), connection.begin():
        with Session(connection, join_transaction_mode=mode) as session:
            session.add(Account(id=1))
            session.flush()
            enqueue(session, "accounts", None, key="left behind")
    assert accounts(database) == 0


@pytest.mark.parametrize("mode", ["control_fully", "create_savepoint"])
def test_a_session_that_takes_its_rows_with_it_takes_its_messages(
    engine: Engine, database: str, mode: Mode, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, logger="app_integration"), engine.connect() as connection:
        connection.begin()
        with Session(connection, join_transaction_mode=mode) as session:
            session.add(Account(id=1))
            session.flush()
            enqueue(session, "accounts", None, key="gone")
        if connection.in_transaction():
            connection.commit()
    # Fully in control, the session rolled the connection's transaction back: nobody expects more of it.
    assert ("1 message(s) are rolled back" in caplog.text) == (mode == "create_savepoint")
    assert accounts(database) == 0
    assert committed(database) == []


@each_mode
def test_under_a_test_fixture_that_rolls_back_nothing_is_said(
    engine: Engine, database: str, mode: Mode, caplog: pytest.LogCaptureFixture
) -> None:
    """Whatever the mode, and though the code under test did not commit, the fixture's end is quiet."""
    with engine.connect() as connection:
        outer = connection.begin()
        session = Session(connection, join_transaction_mode=mode)
        enqueue(session, "accounts", None, key="tested")
        if mode != "control_fully":
            session.rollback()
        else:
            session.close()
        outer.close()
    assert [record for record in caplog.records if record.levelno > logging.WARNING] == []
    assert committed(database) == []


def test_a_session_in_a_savepoint_of_the_connection_follows_it(engine: Engine, database: str) -> None:
    with engine.connect() as connection, connection.begin():
        savepoint = connection.begin_nested()
        with Session(connection) as session:
            enqueue(session, "accounts", None, key="rolled back")
            session.commit()
        savepoint.rollback()
        with connection.begin_nested(), Session(connection) as session:
            enqueue(session, "accounts", None, key="kept")
            session.commit()
    assert committed(database) == ["kept"]


def test_a_session_that_has_the_connection_to_itself_commits_for_real(engine: Engine, database: str) -> None:
    with engine.connect() as connection, Session(connection) as session:
        for number in range(3):
            session.add(Account(id=number))
            enqueue(session, "accounts", None, key=str(number))
            session.commit()
            assert len(committed(database)) == number + 1
    assert committed(database) == ["0", "1", "2"]


def test_one_connection_serves_many_sessions(engine: Engine, database: str) -> None:
    with engine.connect() as connection, connection.begin():
        for number in range(3):
            with Session(connection, join_transaction_mode="create_savepoint") as session:
                enqueue(session, "accounts", None, key=str(number))
                if number != 1:
                    session.commit()
    assert committed(database) == ["0", "2"]


def test_a_prepared_connection_is_refused_too(engine: Engine, database: str) -> None:
    with engine.connect() as connection, Session(connection, join_transaction_mode="rollback_only") as session:
        outer = connection.begin_twophase()
        enqueue(session, "accounts", None, key="left behind")
        with pytest.raises(UnwrittenMessages):
            outer.prepare()
        outer.rollback()
    assert committed(database) == []
