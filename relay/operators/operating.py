"""An operator's session: who it says that it is, how long it waits for others, and what its errors mean.

Guarantees: an error in it has changed nothing, or says that this is not known. Works in autocommit: each statement is a
transaction of its own, so nothing is held while a person thinks.
"""

import getpass
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

import psycopg
from psycopg import errors

from relay import revision
from relay.connection import connect, first_line, pin
from relay.errors import ChoiceError, DatabaseUnfit, DatabaseUnreachable, WorkFailed

PATIENCE = "10s"
"""How long an act waits for a lock: another operator's, or that of a relay that records what it sent."""

NOW = """
-- now: of the clock that has stamped what is held
select clock_timestamp()
"""

GRANTS = 'what an operator needs is in docs/migrations.md, "Rights"'


@contextmanager
def session(database_url: str) -> Iterator["psycopg.Connection"]:
    """Open a session that acts on held messages, or looks at them.

    Args:
        database_url: a libpq URL.

    Raises:
        DatabaseUnreachable: PostgreSQL does not answer, or the session was lost.
        DatabaseUnfit: it cannot serve, or the role lacks a right.
        SchemaError: the outbox is missing, too old or too new.
        ChoiceError: what was chosen is refused; the text says why.
        WorkFailed: somebody else acts on the same messages, and does not end.
    """
    with connect(database_url, caller()) as connection:
        try:
            revision.check(connection).demand()
            for name, value in {"lock_timeout": PATIENCE, "client_min_messages": "notice", "jit": "off"}.items():
                pin(connection, name, value)
            yield connection
        except psycopg.Error as error:
            explain(error, connection.info.user)


def caller() -> str:
    """Who runs this, as far as the machine knows; recorded with an act, since a role may be shared."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        # A container may run under a number that has no name.
        user = str(os.getuid())
    return f"{user}@{socket.gethostname()}"


def explain(error: psycopg.Error, role: str) -> NoReturn:
    """Raise what an error of PostgreSQL means to an operator."""
    found = error.diag.message_primary or first_line(error)
    match error:
        case errors.InvalidParameterValue() | errors.ObjectNotInPrerequisiteState():
            raise ChoiceError(f"{found}; {error.diag.message_hint or 'nothing was changed'}") from None
        case errors.InsufficientPrivilege():
            raise DatabaseUnfit(f"role {role} may not do this ({found}); {GRANTS}") from None
        case errors.LockNotAvailable() | errors.DeadlockDetected():
            raise WorkFailed(
                f"somebody else is acting on these messages ({found}); nothing was changed. Try again; if it stays so, "
                "see pg_stat_activity for a transaction that was left open"
            ) from None
        case psycopg.OperationalError():
            raise DatabaseUnreachable(
                f"the session was lost ({found}). If an act was under way, it is not known whether it was done: "
                "the newest row of outbox.operator_act tells; look before you try again"
            ) from None
        case _:
            raise error
