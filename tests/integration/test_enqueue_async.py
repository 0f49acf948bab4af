"""Asynchronous sessions are called without `await`, asynchronous connections with it, on both drivers."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from datetime import datetime, timedelta, timezone
from typing import Any, TypeVar

import psycopg
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import (
    AsyncEngine,
    AsyncSession,
    async_scoped_session,
    async_sessionmaker,
    create_async_engine,
)

from app_integration import NewMessage, NoTransaction, UnwrittenMessages, enqueue, enqueue_many
from tests.integration.enqueueing import Account, Base, accounts, committed, url

T = TypeVar("T")

TIME = datetime(2026, 1, 31, 3, 15, tzinfo=timezone(timedelta(hours=1)))

both_drivers = pytest.mark.parametrize("driver", ["psycopg", "asyncpg"])


@asynccontextmanager
async def engine_of(database: str, driver: str) -> AsyncIterator[AsyncEngine]:
    engine = create_async_engine(url(database, driver))
    try:
        async with engine.begin() as connection:
            await connection.run_sync(Base.metadata.create_all)
        yield engine
    finally:
        await engine.dispose()


def run(work: Callable[[AsyncEngine], Awaitable[T]], database: str, driver: str) -> T:
    async def with_engine() -> T:
        async with engine_of(database, driver) as engine:
            return await work(engine)

    return asyncio.run(with_engine())


@both_drivers
def test_a_session_commits_and_rolls_back_its_messages(database: str, driver: str) -> None:
    async def work(engine: AsyncEngine) -> None:
        async with AsyncSession(engine) as session:
            session.add(Account(id=1))
            enqueue(session, "accounts", {"id": 1}, key="kept", headers={"h": "v"}, deliver_after=TIME)
            await session.commit()
            session.add(Account(id=2))
            enqueue(session, "accounts", b"\x00\xff", key="gone")
            await session.flush()
            enqueue(session, "accounts", None, key="gone too")
            await session.rollback()
            both = [
                NewMessage(topic="accounts", payload=b"\x00", key=k, deliver_after=t)
                for k, t in (("a", None), ("b", TIME))
            ]
            enqueue_many(session, both)
            await session.commit()

    run(work, database, driver)
    assert committed(database) == ["kept", "a", "b"]
    assert committed(database, "deliver_after") == [TIME, None, TIME]
    assert committed(database, "headers") == [{"h": "v"}, None, None]
    assert accounts(database) == 1


@both_drivers
def test_a_savepoint_takes_its_messages(database: str, driver: str) -> None:
    async def work(engine: AsyncEngine) -> None:
        async with AsyncSession(engine) as session, session.begin():
            enqueue(session, "accounts", None, key="before")
            savepoint = await session.begin_nested()
            session.add(Account(id=1))
            enqueue(session, "accounts", None, key="inside")
            await savepoint.rollback()
            async with session.begin_nested():
                enqueue(session, "accounts", None, key="released")
            enqueue(session, "accounts", None, key="after")

    run(work, database, driver)
    assert committed(database) == ["before", "released", "after"]


@both_drivers
@pytest.mark.parametrize("mode", ["conditional_savepoint", "rollback_only", "create_savepoint"])
def test_a_session_on_a_connection_goes_with_the_connections_commit_or_refuses_it(
    database: str, driver: str, mode: Any
) -> None:
    async def work(engine: AsyncEngine) -> None:
        async with engine.connect() as connection, connection.begin():
            async with AsyncSession(connection, join_transaction_mode=mode) as session:
                enqueue(session, "accounts", None, key="kept")
                await session.commit()
        async with engine.connect() as connection, AsyncSession(connection, join_transaction_mode=mode) as session:
            with pytest.raises(UnwrittenMessages):
                async with connection.begin():
                    session.add(Account(id=1))
                    await session.flush()
                    enqueue(session, "accounts", None, key="left behind")

    run(work, database, driver)
    assert committed(database) == ["kept"]
    assert accounts(database) == 0


@both_drivers
def test_a_connection_is_awaited(database: str, driver: str) -> None:
    async def work(engine: AsyncEngine) -> None:
        async with engine.begin() as connection:
            made = await enqueue(connection, "accounts", {"a": "\\"}, key="one", deliver_after=TIME)
            many = await enqueue_many(
                connection, [NewMessage(topic="accounts", payload=None, key=key) for key in ("two", "three")]
            )
        async with engine.connect() as connection:
            await enqueue(connection, "accounts", {}, key="gone")
        assert committed(database, "id") == [made, *many]

    run(work, database, driver)
    assert committed(database) == ["one", "two", "three"]
    assert committed(database, "deliver_after") == [TIME, None, None]


@both_drivers
def test_autocommit_is_refused(database: str, driver: str) -> None:
    async def work(engine: AsyncEngine) -> None:
        autocommit = engine.execution_options(isolation_level="AUTOCOMMIT")
        async with autocommit.connect() as connection:
            with pytest.raises(NoTransaction, match="AUTOCOMMIT"):
                await enqueue(connection, "accounts", {})
        async with AsyncSession(autocommit) as session:
            enqueue(session, "accounts", {})
            with pytest.raises(NoTransaction, match="AUTOCOMMIT"):
                await session.commit()

    run(work, database, driver)
    assert committed(database) == []


def test_a_psycopg_connection_is_awaited_and_refused_outside_a_transaction(database: str) -> None:
    async def work() -> None:
        async with await psycopg.AsyncConnection.connect(database) as connection:
            await enqueue(connection, "accounts", {}, key="one", deliver_after=TIME)
            await connection.commit()
            await enqueue(connection, "accounts", {}, key="gone")
            await connection.rollback()
        async with await psycopg.AsyncConnection.connect(database, autocommit=True) as connection:
            with pytest.raises(NoTransaction, match="autocommit"):
                await enqueue(connection, "accounts", {})
            async with connection.transaction():
                await enqueue_many(
                    connection, [NewMessage(topic="accounts", payload={}, key=key) for key in ("two", "three")]
                )

    asyncio.run(work())
    assert committed(database) == ["one", "two", "three"]
    assert committed(database, "deliver_after") == [TIME, None, None]


def test_a_scoped_session_is_a_session(database: str) -> None:
    async def work(engine: AsyncEngine) -> None:
        scoped = async_scoped_session(async_sessionmaker(engine), scopefunc=asyncio.current_task)
        enqueue(scoped, "accounts", None, key="scoped")
        await scoped.commit()
        await scoped.remove()

    run(work, database, "asyncpg")
    assert committed(database) == ["scoped"]


@both_drivers
def test_many_tasks_enqueue_side_by_side(database: str, driver: str) -> None:
    async def one(engine: AsyncEngine, number: int) -> None:
        async with AsyncSession(engine) as session:
            session.add(Account(id=number))
            enqueue(session, "accounts", {"n": number}, key=str(number))
            await session.execute(text("select 1"))
            if number % 2:
                await session.commit()
            else:
                await session.rollback()

    async def work(engine: AsyncEngine) -> None:
        tasks: list[Coroutine[Any, Any, None]] = [one(engine, number) for number in range(20)]
        await asyncio.gather(*tasks)

    run(work, database, driver)
    assert sorted(map(int, committed(database))) == list(range(1, 20, 2))
