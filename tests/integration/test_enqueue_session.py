"""A session's messages are committed with its rows, after them, and rolled back with them."""

import logging
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from sqlalchemy import Engine, Table, event, select, text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session, scoped_session, sessionmaker

from app_integration import NewMessage, NoTransaction, UnwrittenMessages, WrongDatabase, enqueue, enqueue_many
from relay.schema import message
from tests.integration.enqueueing import Account, accounts, committed, engine_of


@pytest.fixture
def engine(database: str) -> Iterator[Engine]:
    with engine_of(database) as engine:
        yield engine


@pytest.fixture
def session(engine: Engine) -> Iterator[Session]:
    with Session(engine) as session:
        yield session


@pytest.fixture
def statements(engine: Engine) -> list[str]:
    """The first words of each statement as it is executed."""
    seen: list[str] = []

    @event.listens_for(engine, "before_cursor_execute")
    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        seen.append(" ".join(statement.split()[:3]))

    @event.listens_for(engine, "commit")
    def note_commit(_connection: Any) -> None:
        seen.append("commit")

    return seen


def put(session: Session, key: str) -> None:
    enqueue(session, "accounts", {"key": key}, key=key)


def test_a_message_is_committed_with_the_domain_row(session: Session, database: str) -> None:
    session.add(Account(id=1))
    made = enqueue(session, "accounts", {"id": 1}, key="1", type="account.opened", headers={"trace": "x"})
    assert committed(database) == []
    session.commit()
    assert accounts(database) == 1
    assert committed(database, "id") == [made]
    assert committed(database, "convert_from(payload, 'UTF8')") == ['{"id":1}']
    assert committed(database, "(topic, key, type, content_type, headers ->> 'trace')") == [
        ("accounts", "1", "account.opened", "application/json", "x")
    ]


def test_a_rolled_back_message_is_never_written(session: Session, database: str) -> None:
    session.add(Account(id=1))
    put(session, "flushed")
    session.flush()
    put(session, "waiting")
    session.rollback()
    session.commit()
    assert committed(database) == []


def test_a_message_alone_is_committed_though_nothing_is_flushed(session: Session, database: str) -> None:
    put(session, "alone")
    session.commit()
    put(session, "again")
    session.commit()
    assert committed(database) == ["alone", "again"]


@pytest.mark.parametrize("autoflush", [True, False])
def test_the_domains_rows_go_before_the_messages_which_are_one_statement(
    engine: Engine, statements: list[str], autoflush: bool
) -> None:
    with Session(engine, autoflush=autoflush) as session:
        put(session, "first")
        session.add(Account(id=1))
        put(session, "second")
        session.commit()
    assert statements == ["INSERT INTO account", "INSERT INTO outbox.message", "commit"]


def test_a_block_of_begin_commits_the_message(engine: Engine, database: str) -> None:
    with Session(engine) as session, session.begin():
        put(session, "block")
    assert committed(database) == ["block"]


def test_many_messages_keep_their_order_across_statements(session: Session, database: str) -> None:
    keys = [str(number) for number in range(2_500)]
    made = enqueue_many(session, (NewMessage(topic="accounts", payload=None, key=key) for key in keys))
    session.commit()
    assert committed(database) == keys
    assert committed(database, "id") == made


def test_no_messages_write_nothing(session: Session, statements: list[str]) -> None:
    assert enqueue_many(session, []) == []
    session.commit()
    assert statements == []


def test_a_savepoint_that_rolls_back_takes_its_messages_and_no_others(session: Session, database: str) -> None:
    put(session, "before")
    savepoint = session.begin_nested()
    put(session, "inside")
    session.add(Account(id=1))
    session.flush()
    put(session, "inside, waiting")
    savepoint.rollback()
    put(session, "after")
    session.commit()
    assert committed(database) == ["before", "after"]


def test_a_savepoint_that_is_released_keeps_its_messages(session: Session, database: str) -> None:
    with session.begin_nested():
        put(session, "outer")
        with session.begin_nested():
            put(session, "inner")
    session.commit()
    assert committed(database) == ["outer", "inner"]


def test_a_released_savepoint_goes_with_the_one_around_it(session: Session, database: str) -> None:
    put(session, "kept")
    with pytest.raises(ZeroDivisionError), session.begin_nested():
        put(session, "outer")
        with session.begin_nested():
            put(session, "inner")
        raise ZeroDivisionError
    session.commit()
    assert committed(database) == ["kept"]


def test_a_savepoint_closed_without_an_answer_takes_its_messages(session: Session, database: str) -> None:
    put(session, "before")
    savepoint = session.begin_nested()
    put(session, "inside")
    savepoint.close()
    session.commit()
    assert committed(database) == ["before"]


def test_a_commit_with_a_savepoint_open_keeps_all(session: Session, database: str) -> None:
    put(session, "outer")
    session.begin_nested()
    put(session, "inner")
    session.commit()
    assert committed(database) == ["outer", "inner"]


def test_a_failed_flush_takes_the_messages_and_the_session_serves_again(session: Session, database: str) -> None:
    session.add(Account(id=1))
    session.commit()
    put(session, "lost with its transaction")
    session.execute(text("insert into account (id, balance) values (2, 0)"))
    session.add(Account(id=2))
    with pytest.raises(IntegrityError):
        session.commit()
    with pytest.raises(NoTransaction, match="rolled back"):
        put(session, "refused")
    session.rollback()
    put(session, "next")
    session.commit()
    assert committed(database) == ["next"]


def test_a_failed_flush_in_a_savepoint_takes_only_the_savepoints_messages(session: Session, database: str) -> None:
    session.add(Account(id=1))
    put(session, "kept")
    with pytest.raises(IntegrityError), session.begin_nested():
        put(session, "gone")
        session.execute(text("insert into account (id, balance) values (1, 0)"))
    put(session, "kept too")
    session.commit()
    assert committed(database) == ["kept", "kept too"]


@pytest.mark.parametrize("name", ["before_flush", "after_flush", "after_flush_postexec", "before_commit"])
def test_a_message_from_a_sessions_event_is_committed(session: Session, database: str, name: str) -> None:
    event.listen(session, name, lambda *_: put(session, name), once=True)
    session.add(Account(id=1))
    session.commit()
    assert committed(database) == [name]


@pytest.mark.parametrize("name", ["before_flush", "after_flush", "after_flush_postexec"])
def test_a_message_from_a_flush_late_in_the_commit_is_committed(session: Session, database: str, name: str) -> None:
    """Another listener adds rows when ours has done its part, and that flush enqueues."""
    put(session, "first")

    def add(_: Session) -> None:
        event.listen(session, name, lambda *_: put(session, name), once=True)
        session.add(Account(id=1))

    event.listen(session, "before_commit", add, once=True)
    session.commit()
    assert committed(database) == ["first", name]


@pytest.mark.parametrize("name", ["before_insert", "after_insert"])
def test_a_message_from_a_mappers_event_is_written_after_the_row(
    session: Session, database: str, statements: list[str], name: str
) -> None:
    listener: Callable[..., None] = lambda *_: put(session, name)  # noqa: E731
    event.listen(Account, name, listener)
    try:
        session.add(Account(id=1))
        session.commit()
    finally:
        event.remove(Account, name, listener)
    assert committed(database) == [name]
    assert statements == ["INSERT INTO account", "INSERT INTO outbox.message", "commit"]


def test_a_message_enqueued_after_the_commit_is_refused(session: Session, database: str) -> None:
    event.listen(session, "after_commit", lambda _: put(session, "late"), once=True)
    put(session, "in time")
    with pytest.raises(NoTransaction, match="enqueue before the commit"):
        session.commit()
    assert committed(database) == ["in time"]


def test_a_session_closed_without_commit_says_what_it_takes_along(
    session: Session, database: str, caplog: pytest.LogCaptureFixture
) -> None:
    put(session, "forgotten")
    with caplog.at_level(logging.WARNING, logger="app_integration"):
        session.close()
    assert [record.message for record in caplog.records if "1 message(s) are rolled back" in record.message]
    put(session, "next")
    session.commit()
    assert committed(database) == ["next"]


def test_a_rollback_says_nothing(session: Session, caplog: pytest.LogCaptureFixture) -> None:
    put(session, "on purpose")
    session.rollback()
    session.close()
    assert caplog.records == []


def test_a_session_without_autobegin_needs_a_transaction(engine: Engine, database: str) -> None:
    with Session(engine, autobegin=False) as session:
        with pytest.raises(NoTransaction, match="autobegin"):
            put(session, "outside")
        with session.begin():
            put(session, "inside")
    assert committed(database) == ["inside"]


def test_a_session_in_autocommit_is_refused(database: str) -> None:
    with engine_of(database, isolation_level="AUTOCOMMIT") as engine, Session(engine) as session:
        put(session, "x")
        with pytest.raises(NoTransaction, match="AUTOCOMMIT"):
            session.commit()
        session.rollback()
        put(session, "y")
        session.add(Account(id=1))
        with pytest.raises(NoTransaction, match="AUTOCOMMIT"):
            session.commit()
    assert committed(database) == []
    assert accounts(database) == 0


def test_a_scoped_session_is_a_session(engine: Engine, database: str) -> None:
    scoped = scoped_session(sessionmaker(engine))
    enqueue(scoped, "accounts", None, key="scoped")
    scoped.commit()
    scoped.remove()
    assert committed(database) == ["scoped"]


def test_a_session_of_several_databases_is_told_where_the_outbox_is(engine: Engine, database: str) -> None:
    with Session(binds={Account: engine}) as session:
        with pytest.raises(WrongDatabase, match=r"relay\.schema\.message"):
            put(session, "nowhere")
        session.rollback()
    assert isinstance(message, Table)
    with Session(binds={Account: engine, message: engine}) as session:
        session.add(Account(id=1))
        put(session, "found")
        session.commit()
    assert committed(database) == ["found"]


def test_a_prepared_session_has_written_and_commits_later(database: str) -> None:
    with engine_of(database) as engine, Session(engine, twophase=True) as session:
        session.add(Account(id=1))
        put(session, "prepared")
        session.prepare()
        assert committed(database) == []
        session.commit()
    assert committed(database) == ["prepared"]


def test_a_session_whose_connection_is_lost_loses_all_or_nothing(session: Session, database: str) -> None:
    put(session, "lost")
    session.add(Account(id=1))
    session.flush()
    put(session, "lost too")
    pid = session.execute(text("select pg_backend_pid()")).scalar_one()
    with engine_of(database) as other, other.begin() as connection:
        connection.execute(text("select pg_terminate_backend(:pid, 5000)"), {"pid": pid})
    session.invalidate()
    put(session, "next")
    session.commit()
    assert committed(database) == ["next"]
    assert accounts(database) == 0


def test_two_sessions_keep_their_messages_apart(engine: Engine, database: str) -> None:
    with Session(engine) as one, Session(engine) as two:
        put(one, "one")
        put(two, "two")
        two.rollback()
        one.commit()
        assert one.scalars(select(Account)).all() == []
    assert committed(database) == ["one"]


def test_a_message_from_the_end_of_a_savepoint_inside_a_commit_is_committed(session: Session, database: str) -> None:
    put(session, "outer")
    session.begin_nested()
    put(session, "inner")
    event.listen(session, "after_transaction_end", lambda *_: put(session, "late"), once=True)
    session.commit()
    assert committed(database) == ["outer", "inner", "late"]


def test_a_message_from_a_flush_after_a_savepoint_inside_a_commit_is_committed(session: Session, database: str) -> None:
    """The savepoint's release is over, the commit around it is not: what comes now is still the last to come."""
    whole = session.begin()
    session.begin_nested()
    put(session, "inner")

    def add(*_: Any) -> None:
        event.listen(session, "after_flush", lambda *_: put(session, "late"), once=True)
        session.add(Account(id=1))

    event.listen(session, "after_transaction_end", add, once=True)
    whole.commit()
    assert committed(database) == ["inner", "late"]


def test_a_commit_is_refused_when_a_flush_that_ends_early_leaves_a_message(session: Session, database: str) -> None:
    """An object that its parent has orphaned is expunged by the flush, which then has no work and no end."""
    session.add(Account(id=1))
    put(session, "first")
    late = Account(id=2)

    def expunge(_: Session, *__: Any) -> None:
        if late in session:
            put(session, "late")
            session.expunge(late)

    event.listen(session, "before_flush", expunge)
    event.listen(session, "before_commit", lambda _: session.add(late), once=True)
    with pytest.raises(UnwrittenMessages):
        session.commit()
    session.rollback()
    assert committed(database) == []
    assert accounts(database) == 0
