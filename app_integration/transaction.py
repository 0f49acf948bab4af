"""The sessions and connections that carry a transaction, and which way of writing each has.

Asynchronous SQLAlchemy and psycopg are not imported: a caller who brings one has done so, and nobody else
should pay.
"""

import sys
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any, TypeAlias

from sqlalchemy import Connection
from sqlalchemy.orm import Session, scoped_session

from app_integration.connection import write, write_psycopg, write_psycopg_async
from app_integration.errors import NoTransaction
from app_integration.message import Row
from app_integration.session import remember

if TYPE_CHECKING:
    import psycopg
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession, async_scoped_session

Direct: TypeAlias = """(
    Session | scoped_session[Any] | AsyncSession | async_scoped_session[Any]
    | Connection | psycopg.Connection[Any]
)"""
"""Called without `await`."""

Awaited: TypeAlias = "AsyncConnection | psycopg.AsyncConnection[Any]"
"""Called with `await`."""


def send(transaction: Any, rows: list[Row]) -> Coroutine[Any, Any, None] | None:
    """Hand rows to the transaction of a session or connection.

    Returns:
        None when that is done, a coroutine when it needs to be awaited.

    Raises:
        NoTransaction: there is none, or what was given cannot have one.
    """
    writing: Coroutine[Any, Any, None] | None = None
    transaction = unscoped(transaction)
    session = session_of(transaction)
    if session is not None:
        remember(session, rows)
    elif isinstance(transaction, Connection):
        write(transaction, rows)
    elif is_kind(transaction, "psycopg", "Connection"):
        write_psycopg(transaction, rows)
    elif is_kind(transaction, "psycopg", "AsyncConnection"):
        writing = write_psycopg_async(transaction, rows)
    elif is_kind(transaction, "sqlalchemy.ext.asyncio", "AsyncConnection"):
        writing = transaction.run_sync(write, rows)
    else:
        raise unknown(transaction)
    return writing


def unscoped(transaction: Any) -> Any:
    """Give the current session of a scoped registry; anything else as it is."""
    if isinstance(transaction, scoped_session) or is_kind(
        transaction, "sqlalchemy.ext.asyncio", "async_scoped_session"
    ):
        return transaction.registry()
    return transaction


def session_of(transaction: Any) -> Session | None:
    """Find the session in which events fire: itself, or the one inside an `AsyncSession`."""
    if is_kind(transaction, "sqlalchemy.ext.asyncio", "AsyncSession"):
        transaction = transaction.sync_session
    return transaction if isinstance(transaction, Session) else None


def is_kind(value: Any, module: str, name: str) -> bool:
    """Tell whether a value is an instance of a class whose module nobody may have imported."""
    loaded = sys.modules.get(module)
    return loaded is not None and isinstance(value, getattr(loaded, name))


def unknown(transaction: Any) -> NoTransaction:
    """Make the error for what is neither a session nor a connection."""
    kind = f"{type(transaction).__module__}.{type(transaction).__qualname__}"
    return NoTransaction(
        f"a {kind} has no transaction; pass a SQLAlchemy Session, AsyncSession, Connection or "
        "AsyncConnection, or a psycopg Connection or AsyncConnection; "
        "with anything else call outbox.enqueue(...) in SQL"
    )
