"""Looks at what a session or connection has enqueued; the pytest fixture `outbox` is one of these.

It sees the rows that the connection's own transaction wrote, and what its session has not written yet. It
executes one query there and changes nothing: no flush, no commit, no rollback. With whatever is asynchronous,
its methods are awaited.
"""

import sys
from collections.abc import Callable, Coroutine
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar, overload

from sqlalchemy import Connection
from sqlalchemy.orm import Session

from app_integration.enqueued import (
    ANYTHING,
    READ,
    READ_ALL,
    EnqueuedMessage,
    Expectation,
    decode,
    describe,
    describe_nearest,
    pick,
)
from app_integration.session import connection_of, unwritten
from app_integration.transaction import is_kind, unknown, unscoped

if TYPE_CHECKING:
    import psycopg
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession, async_scoped_session
    from sqlalchemy.orm import scoped_session

Immediate: TypeAlias = "Session | scoped_session[Any] | Connection | psycopg.Connection[Any]"
"""What is looked at without `await`."""

Awaited: TypeAlias = "AsyncSession | async_scoped_session[Any] | AsyncConnection | psycopg.AsyncConnection[Any]"
"""What is looked at with `await`."""

_T = TypeVar("_T")


class OutboxInspector:
    """Tells and asserts what was enqueued.

    Every method takes the session or connection of the test first, and `committed`: whether to look at all
    messages that are visible there, not at those of its open transaction; for tests whose code commits for real.
    """

    @overload
    def messages(self, transaction: Immediate, *, committed: bool = False) -> list[EnqueuedMessage]: ...

    @overload
    def messages(
        self, transaction: Awaited, *, committed: bool = False
    ) -> Coroutine[Any, Any, list[EnqueuedMessage]]: ...

    def messages(
        self, transaction: "Immediate | Awaited", *, committed: bool = False
    ) -> list[EnqueuedMessage] | Coroutine[Any, Any, list[EnqueuedMessage]]:
        """Give the messages in the order in which they would be published for one key."""
        return _look(transaction, committed, lambda found: found)

    @overload
    def assert_enqueued(
        self,
        transaction: Immediate,
        *,
        topic: str = ...,
        key: str | None = ...,
        type: str | None = ...,
        payload: Any = ...,
        headers: Any = ...,
        deliver_after: datetime | None = ...,
        committed: bool = False,
    ) -> EnqueuedMessage: ...

    @overload
    def assert_enqueued(
        self,
        transaction: Awaited,
        *,
        topic: str = ...,
        key: str | None = ...,
        type: str | None = ...,
        payload: Any = ...,
        headers: Any = ...,
        deliver_after: datetime | None = ...,
        committed: bool = False,
    ) -> Coroutine[Any, Any, EnqueuedMessage]: ...

    def assert_enqueued(
        self,
        transaction: "Immediate | Awaited",
        *,
        topic: str = ANYTHING,
        key: str | None = ANYTHING,
        type: str | None = ANYTHING,  # noqa: A002 - the column
        payload: Any = ANYTHING,
        headers: Any = ANYTHING,
        deliver_after: datetime | None = ANYTHING,
        committed: bool = False,
    ) -> EnqueuedMessage | Coroutine[Any, Any, EnqueuedMessage]:
        """Assert that exactly one message was enqueued that has all the fields given.

        Args:
            transaction: the test's session or connection.
            topic: its topic.
            key: its key; None for a message without one.
            type: its type; None for a message without one.
            payload: its payload, in any form in which it could be enqueued; JSON is compared as JSON.
            headers: its own headers, all of them.
            deliver_after: the time before which it is not published; None for one that is published at once.
            committed: look at all that is visible, not only at the open transaction.

        Returns:
            The message, to look closer.

        Raises:
            AssertionError: there is none, or there are several; the text shows the nearest.
        """
        __tracebackhide__ = True
        wanted = Expectation(topic, key, type, payload, headers, deliver_after)
        return _look(transaction, committed, partial(_only, wanted))

    @overload
    def assert_nothing_enqueued(self, transaction: Immediate, *, committed: bool = False) -> None: ...

    @overload
    def assert_nothing_enqueued(
        self, transaction: Awaited, *, committed: bool = False
    ) -> Coroutine[Any, Any, None]: ...

    def assert_nothing_enqueued(
        self, transaction: "Immediate | Awaited", *, committed: bool = False
    ) -> Coroutine[Any, Any, None] | None:
        """Assert that no message was enqueued.

        Raises:
            AssertionError: there is one; the text shows them all.
        """
        __tracebackhide__ = True
        return _look(transaction, committed, _none)


def _only(wanted: Expectation, found: list[EnqueuedMessage]) -> EnqueuedMessage:
    __tracebackhide__ = True
    fitting = pick(found, wanted)
    if not fitting:
        raise AssertionError(describe_nearest(found, wanted))
    if len(fitting) > 1:
        raise AssertionError(f"{len(fitting)} messages fit, one was expected:\n{describe(fitting)}")
    return fitting[0]


def _none(found: list[EnqueuedMessage]) -> None:
    __tracebackhide__ = True
    if found:
        raise AssertionError(f"nothing was to be enqueued, but there is:\n{describe(found)}")


def _look(
    transaction: Any, committed: bool, judge: Callable[[list[EnqueuedMessage]], _T]
) -> _T | Coroutine[Any, Any, _T]:
    __tracebackhide__ = True
    query = READ_ALL if committed else READ
    transaction = unscoped(transaction)
    if is_kind(transaction, "sqlalchemy.ext.asyncio", "AsyncSession"):
        return _later(transaction.run_sync(_in_session, query), judge)
    if is_kind(transaction, "sqlalchemy.ext.asyncio", "AsyncConnection"):
        return _later(transaction.run_sync(_on_connection, query), judge)
    if is_kind(transaction, "psycopg", "AsyncConnection"):
        return _later(_on_psycopg_async(transaction, query), judge)
    return judge(_now(transaction, query))


def _now(transaction: Any, query: str) -> list[EnqueuedMessage]:
    if isinstance(transaction, Session):
        return _in_session(transaction, query)
    if isinstance(transaction, Connection):
        return _on_connection(transaction, query)
    if is_kind(transaction, "psycopg", "Connection"):
        return _on_psycopg(transaction, query)
    raise unknown(transaction)


async def _later(
    looking: Coroutine[Any, Any, list[EnqueuedMessage]], judge: Callable[[list[EnqueuedMessage]], _T]
) -> _T:
    __tracebackhide__ = True
    return judge(await looking)


def _in_session(session: Session, query: str) -> list[EnqueuedMessage]:
    return _on_connection(connection_of(session), query) + decode(unwritten(session))


def _on_connection(connection: Connection, query: str) -> list[EnqueuedMessage]:
    return decode(tuple(row) for row in connection.exec_driver_sql(query))


def _on_psycopg(connection: "psycopg.Connection[Any]", query: str) -> list[EnqueuedMessage]:
    psycopg_ = sys.modules["psycopg"]
    with psycopg_.Cursor(connection, row_factory=psycopg_.rows.tuple_row) as cursor:
        return decode(cursor.execute(query.encode()).fetchall())


async def _on_psycopg_async(connection: "psycopg.AsyncConnection[Any]", query: str) -> list[EnqueuedMessage]:
    psycopg_ = sys.modules["psycopg"]
    async with psycopg_.AsyncCursor(connection, row_factory=psycopg_.rows.tuple_row) as cursor:
        return decode(await (await cursor.execute(query.encode())).fetchall())
