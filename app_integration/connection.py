"""Writes rows on a connection that the caller has open: SQLAlchemy's or psycopg's.

It executes at once, commits nothing, rolls nothing back, and refuses a connection whose statements commit by
themselves: a message there would belong to nothing. psycopg is not imported, only used when a caller brings
it.
"""

import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, TwoPhaseTransaction, text

from app_integration.errors import NoTransaction
from app_integration.message import Row
from app_integration.statement import batches, for_psycopg, insertion

if TYPE_CHECKING:
    import psycopg

_DOORBELL_OFF = text("""
-- doorbell_off: a transaction that has notified cannot be prepared; the relay's slow poll finds its messages
set local outbox.doorbell = off
""")


def write(connection: Connection, rows: Iterable[Row]) -> None:
    """Write rows in the transaction of a SQLAlchemy connection, which begins one when none is open.

    Raises:
        NoTransaction: the connection is in autocommit mode.
    """
    refuse_autocommit(connection)
    if isinstance(connection.get_transaction(), TwoPhaseTransaction):
        connection.execute(_DOORBELL_OFF)
    for batch in batches(rows):
        connection.execute(*insertion(batch))


def refuse_autocommit(connection: Connection) -> None:
    """Refuse a SQLAlchemy connection whose statements commit by themselves, begun or not."""
    # Asked of the driver, which knows without a round trip whatever the way by which the mode was set.
    if getattr(connection.connection.dbapi_connection, "autocommit", False):
        raise NoTransaction(
            "the connection's isolation level is AUTOCOMMIT: the message would be committed by itself, "
            "whatever becomes of your own changes; use a connection with transactions"
        )


def write_psycopg(connection: "psycopg.Connection[Any]", rows: Iterable[Row]) -> None:
    """Write rows in the transaction of a psycopg connection, which begins one when none is open.

    Raises:
        NoTransaction: the connection is in autocommit mode and no transaction is open.
    """
    _refuse_no_transaction(connection)
    # The plain cursor, whatever the connection's own factory: others have other placeholders.
    with sys.modules["psycopg"].Cursor(connection) as cursor:
        for batch in batches(rows):
            statement, arguments = insertion(batch)
            cursor.execute(for_psycopg(statement), arguments)


async def write_psycopg_async(connection: "psycopg.AsyncConnection[Any]", rows: Iterable[Row]) -> None:
    """Do as `write_psycopg` does, on an asynchronous connection."""
    _refuse_no_transaction(connection)
    async with sys.modules["psycopg"].AsyncCursor(connection) as cursor:
        for batch in batches(rows):
            statement, arguments = insertion(batch)
            await cursor.execute(for_psycopg(statement), arguments)


def _refuse_no_transaction(connection: "psycopg.Connection[Any] | psycopg.AsyncConnection[Any]") -> None:
    idle = sys.modules["psycopg"].pq.TransactionStatus.IDLE
    if connection.autocommit and connection.info.transaction_status == idle:
        raise NoTransaction(
            "the connection is in autocommit mode and no transaction is open: the message would be committed "
            "by itself, whatever becomes of your own changes; enqueue inside `with connection.transaction()`"
        )
