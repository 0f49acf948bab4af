"""Messages of an ORM session: written after the domain rows they tell of, gone with a rollback.

Why not at once, and why not as mapped objects: the unit of work chooses the order of what one flush writes. A
message written before the domain row whose lock orders the writers would draw its `seq` outside that lock,
and two writers of one key could come out in the wrong order. So messages are remembered on the session until
a flush has written the domain's rows (`after_flush`) or the transaction is about to commit (`before_commit`,
which flushes first), and go out in one INSERT. Waiting also needs no `await`: the call is the same for
`Session` and `AsyncSession`, whose events fire on its `sync_session`.

What waits always belongs to the innermost savepoint: the start of a savepoint writes what was enqueued before
it, its release writes the rest. So whatever is rolled back takes exactly its own messages along.

A session that joined the transaction of a connection does not commit it. There, `commit_guard` stands by. The
events: https://docs.sqlalchemy.org/en/20/orm/session_events.html
"""

import logging
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, event
from sqlalchemy.exc import UnboundExecutionError
from sqlalchemy.orm import Session, SessionTransaction

from app_integration.commit_guard import CommitGuard
from app_integration.connection import refuse_autocommit, write
from app_integration.errors import NoTransaction, WrongDatabase
from app_integration.message import Row
from app_integration.statement import INSERT_ONE

_log = logging.getLogger("app_integration")

_KEY = "app_integration.outbox"
"""Where a session's messages are, in the dictionary that SQLAlchemy gives its users for such things."""


@dataclass(slots=True)
class _Outgoing:
    """What one session has enqueued and not yet written, and how far its flush and its commit are."""

    rows: list[Row] = field(default_factory=list)
    flushed: bool = False
    """The present flush has written the domain's rows, and the messages with them."""
    commits: int = 0
    """How many commits are under way: of the transaction, and of savepoints that it releases. Ours is done."""
    guard: CommitGuard | None = None


def remember(session: Session, rows: list[Row]) -> None:
    """Enqueue rows with the transaction of a session; as `Session.add`, it begins one if need be.

    Raises:
        NoTransaction: the session takes no more work, or has autobegin off and nothing begun.
        WrongDatabase: the session has several databases and no bind for the outbox.
    """
    _begin(session)
    bind = _bind(session)
    outgoing = _outgoing(session)
    outgoing.rows.extend(rows)
    if isinstance(bind, Connection):
        _guard(outgoing, bind)
    if outgoing.commits:
        _write_late(session, outgoing)


def unwritten(session: Session) -> list[Row]:
    """Tell what was enqueued and not yet written."""
    return list(_outgoing(session).rows)


def connection_of(session: Session) -> Connection:
    """Give the connection on which the session writes its messages."""
    return session.connection(bind_arguments={"clause": INSERT_ONE})


def _begin(session: Session) -> None:
    if not session.is_active:
        raise NoTransaction(
            "the session's transaction was rolled back or is over, the message cannot be committed with it; "
            "call session.rollback(), or enqueue before the commit"
        )
    if not session.in_transaction():
        if not session.autobegin:
            raise NoTransaction("the session has autobegin off and nothing begun; enqueue inside `session.begin()`")
        session.begin()


def _bind(session: Session) -> Any:
    try:
        return session.get_bind(clause=INSERT_ONE)
    except UnboundExecutionError:
        raise WrongDatabase(
            "the session has no bind for the outbox; name its database: "
            "Session(binds={..., relay.schema.message: engine}), the same engine as the rows it tells of"
        ) from None


def _outgoing(session: Session) -> _Outgoing:
    outgoing: _Outgoing | None = session.info.get(_KEY)
    if outgoing is None:
        outgoing = session.info[_KEY] = _Outgoing()
    return outgoing


def _guard(outgoing: _Outgoing, connection: Connection) -> None:
    if outgoing.guard is None:
        outgoing.guard = CommitGuard(connection, outgoing.rows)


def _flushing(session: Session) -> bool:
    # There is no public way to ask, and a listener inside a flush may not start another.
    return session._flushing  # noqa: SLF001


def _write(session: Session) -> None:
    outgoing = _outgoing(session)
    if outgoing.rows:
        write(connection_of(session), outgoing.rows)
        # Only now: had it failed, the rows would go with the rollback that must follow.
        outgoing.rows.clear()


def _write_late(session: Session, outgoing: _Outgoing) -> None:
    """Write what a listener enqueues when `before_commit` has passed and may not come by again."""
    if _flushing(session) and not outgoing.flushed:
        # This flush will write it. Should it turn out to have no work, and so no end: better no commit than a loss.
        _guard(outgoing, connection_of(session))
    else:
        if not _flushing(session):
            session.flush()
        _write(session)


@event.listens_for(Session, "before_flush")
def _before_flush(session: Session, _context: Any, _objects: Any) -> None:
    outgoing = _outgoing(session)
    outgoing.flushed = False
    if outgoing.rows:
        # Now, and not when the message is written: by then the domain's rows would be, each committed by itself.
        refuse_autocommit(connection_of(session))


@event.listens_for(Session, "after_flush")
def _after_flush(session: Session, _context: Any) -> None:
    _write(session)
    _outgoing(session).flushed = True


@event.listens_for(Session, "before_commit")
def _before_commit(session: Session) -> None:
    outgoing = _outgoing(session)
    if outgoing.rows:
        # This event comes before commit's own flush, which would write the domain's rows after the messages.
        if not _flushing(session):
            session.flush()
        _write(session)
    outgoing.commits += 1


@event.listens_for(Session, "after_transaction_create")
def _before_savepoint(session: Session, transaction: SessionTransaction) -> None:
    outgoing = _outgoing(session)
    if transaction.nested and transaction.parent is not None and outgoing.rows:
        # SAVEPOINT is sent with the first statement inside it, so the parent's connection is still outside.
        write(transaction.parent.connection(None, clause=INSERT_ONE), outgoing.rows)
        outgoing.rows.clear()


@event.listens_for(Session, "after_rollback")
def _after_rollback(session: Session) -> None:
    _outgoing(session).rows.clear()


@event.listens_for(Session, "after_transaction_end")
def _after_transaction_end(session: Session, transaction: SessionTransaction) -> None:
    outgoing = _outgoing(session)
    if transaction.nested:
        outgoing.commits = max(0, outgoing.commits - 1)
        outgoing.rows.clear()
    elif transaction.parent is None:
        del session.info[_KEY]
        _end(session, outgoing)


def _end(session: Session, outgoing: _Outgoing) -> None:
    """Account for what was not written when the session's transaction ended without a commit or a rollback."""
    if outgoing.guard is not None:
        if outgoing.rows and outgoing.guard.outlives(session):
            # The transaction that was joined goes on; the guard refuses to let it commit without them.
            return
        outgoing.guard.leave()
    if outgoing.rows:
        told = ", ".join(f"{row.topic} {row.id}" for row in outgoing.rows[:3])
        _log.warning(
            "session closed without commit: %d message(s) are rolled back with its transaction: %s",
            len(outgoing.rows),
            told,
        )
