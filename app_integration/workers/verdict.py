"""What a handler may say of a message that it cannot handle, and what becomes of it. Pure.

Verdict
├── Reject   the message itself is wrong: it is dead at once, for no time will mend it
├── Retry    it failed, and may succeed later: an attempt is counted, it is tried again, and is dead in the end
└── Outage   something that all messages need is away: nothing is counted, nothing dies, the worker waits

Any other exception of a handler is a `Retry`: a bug that is mended by tomorrow's release loses nothing.
"""

from dataclasses import dataclass

import psycopg
from psycopg import errors

from app_integration.workers.backoff import Backoff


class Verdict(Exception):
    """Root of what a handler raises on purpose. The text is kept with the message, so it names no secret."""


class Reject(Verdict):
    """The message can never be handled as it is."""


class Retry(Verdict):
    """The message could not be handled this time, for a reason that is its own."""


class Outage(Verdict):
    """What every message needs (a server, the database, a right) is not there; the message has no fault in it."""


@dataclass(frozen=True, slots=True)
class Failed:
    """What becomes of a message that failed.

    Args:
        error: what is kept of the reason, at most `LONGEST` characters.
        attempts: how often it was tried, this time included.
        seconds: until it is tried again; None when it is dead.
    """

    error: str
    attempts: int
    seconds: float | None


LONGEST = 500
"""Characters of an error that are kept: enough for a person, little enough for a header."""

_SET_UP = (errors.InsufficientPrivilege, errors.UndefinedTable, errors.InvalidSchemaName, errors.ReadOnlySqlTransaction)
"""PostgreSQL refuses for what was set up, which is the same for every message: rights, a schema, a standby."""

_PASSING = ("08", "40", "53", "55P03", "57P", "58")
"""SQLSTATEs, or beginnings of them, that say nothing of the message: connection, rollback by others, resources, locks,
a shutdown, the system (PostgreSQL's documentation, appendix A). Not 57014, a statement that took too long or was
cancelled, nor class 25, a session that was ended for its idle transaction: the same message may do that for ever."""


def outage_of(error: BaseException) -> Outage | None:
    """Tell an outage from a failure of the message; None for the latter."""
    if isinstance(error, Outage):
        return error
    if not isinstance(error, psycopg.Error):
        return None
    state = error.sqlstate or ""
    lost = isinstance(error, psycopg.OperationalError | psycopg.InterfaceError) and not state
    if lost or isinstance(error, _SET_UP) or state.startswith(_PASSING):
        return Outage(f"the database: {say(error)}")
    return None


def judge(error: Exception, attempts: int, backoff: Backoff, chance: float) -> Failed:
    """Decide about a message whose handler raised.

    Args:
        error: what it raised; no outage.
        attempts: how often the message had failed before.
        backoff: the schedule of its worker.
        chance: a random number from 0 to 1, for the jitter.
    """
    seconds = None if isinstance(error, Reject) else backoff.pause(attempts + 1, chance)
    return Failed(say(error), attempts + 1, seconds)


def say(error: BaseException) -> str:
    """Put an error into one line that a log, a header and a table can take: no control characters, not endless."""
    text = "".join(one if one.isprintable() else ascii(one)[1:-1] for one in " ".join(str(error).split()))
    named = text if isinstance(error, Verdict) else f"{type(error).__name__}: {text}"
    return named if len(named) <= LONGEST else named[: LONGEST - 1] + "…"
