"""The session in which migrations happen: one transaction, on the primary, which fails with our own errors only.

Guarantees: whatever is raised has rolled the whole migration back; who is in the way of a lock is named; no error shows
a password.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import sqlalchemy
from psycopg import errors
from psycopg.conninfo import conninfo_to_dict
from sqlalchemy.exc import DBAPIError

from relay.connection import STANDBY, first_line, primary_of_several, refused, unfit, where
from relay.errors import DatabaseUnfit, RelayError, SettingsError, UserMistake, WorkFailed

TURN_LOCK = 0x6F757404
"""The class of the advisory lock on which operators take turns; next to those of `relay.locks`."""

APPLICATION = "outbox-relay migrate"

READ_HOLDERS = """
-- read_holders: who has locks on the outbox's tables, or the turn; a prepared transaction has no pid
select distinct coalesce('pid ' || l.pid || coalesce(' (' || nullif(a.application_name, '') || ')', '')
                         || ', ' || a.state || ', in a transaction for '
                         || round(extract(epoch from clock_timestamp() - a.xact_start)) || ' s',
                         'a prepared transaction (see pg_prepared_xacts)')
from pg_locks l
left join pg_stat_activity a on a.pid = l.pid
where l.granted and l.pid is distinct from pg_backend_pid()
  and l.database = (select oid from pg_database where datname = current_database())
  and (l.relation in (select oid from pg_class where relnamespace = to_regnamespace('outbox'))
       or l.locktype = 'advisory' and l.classid = %s)
"""


@contextmanager
def connection(database_url: str) -> Iterator[sqlalchemy.Connection]:
    """Open a transaction for migrations, committed at the end of the block; it fails with own errors only.

    Args:
        database_url: as for `upgrade`.
    """
    conninfo = libpq_url(database_url)
    # The driver itself reads the URL: what libpq knows (several hosts, services) works here as in the relay.
    engine = sqlalchemy.create_engine(
        "postgresql+psycopg://", creator=lambda: connect(conninfo), poolclass=sqlalchemy.NullPool
    )
    with own_errors(conninfo), engine.begin() as opened:
        yield opened


def libpq_url(database_url: str) -> str:
    """Turn a URL as SQLAlchemy writes it (`postgresql+psycopg://`) into one as libpq reads it.

    Raises:
        SettingsError: it is empty, or of something else than PostgreSQL. Only the scheme is shown.
    """
    if not database_url.strip():
        raise SettingsError("DATABASE_URL is not set; expected postgresql://user:password@host:port/database")
    scheme, separator, rest = database_url.strip().partition("://")
    if not separator:
        return _parsable(database_url)
    if scheme not in ("postgresql", "postgresql+psycopg", "postgres"):
        raise SettingsError(
            f"DATABASE_URL begins with {scheme}://; allowed are postgresql:// and postgresql+psycopg://"
        )
    return _parsable(f"postgresql://{rest}")


def _parsable(conninfo: str) -> str:
    try:
        conninfo_to_dict(conninfo)
    except psycopg.ProgrammingError:
        # libpq's own words would quote the string, password and all.
        raise SettingsError(
            "DATABASE_URL cannot be read as a PostgreSQL address; expected postgresql://user:password@host:port/database"
            " with special characters in the password percent-encoded"
        ) from None
    return conninfo


def connect(conninfo: str) -> "psycopg.Connection":
    """Open a session of libpq's own, on a PostgreSQL that an outbox can be in.

    Raises:
        DatabaseUnfit: it is older than 14, or a standby.
        psycopg.Error: it cannot be reached.
    """
    opened = psycopg.connect(
        conninfo,
        connect_timeout=5,
        application_name=APPLICATION,
        autocommit=True,
        **primary_of_several(conninfo),  # type: ignore[arg-type]
    )
    try:
        _demand_fit(opened)
        opened.autocommit = False
    except (psycopg.Error, DatabaseUnfit):
        opened.close()
        raise
    return opened


def _demand_fit(opened: "psycopg.Connection") -> None:
    row = opened.execute("select pg_is_in_recovery()").fetchone()
    # A pooler is no obstacle here: everything happens in one transaction.
    reason = unfit(opened.info.server_version, direct=True) or (STANDBY if row and row[0] else None)
    if reason:
        raise DatabaseUnfit(reason)


@contextmanager
def own_errors(conninfo: str) -> Iterator[None]:
    """Turn what PostgreSQL refuses within the block into our own errors."""
    try:
        yield
    except DBAPIError as error:
        if not isinstance(error.orig, psycopg.Error):
            raise
        raise _own_error(conninfo, error.orig) from error.orig
    except psycopg.Error as error:
        raise _own_error(conninfo, error) from error


def _own_error(conninfo: str, error: psycopg.Error) -> RelayError:
    """Say in our own terms what PostgreSQL refused; each of these has rolled the whole migration back."""
    found = error.diag.message_primary or first_line(error)
    place = where(conninfo)
    match error:
        case errors.LockNotAvailable():
            return WorkFailed(
                f"{place}: a lock could not be had in time ({found}), nothing was changed; "
                f"it is held by {_holders(conninfo)}; end that, or try again later"
            )
        case errors.ObjectNotInPrerequisiteState():
            return UserMistake(f"{place}: {found}, so nothing was changed; {error.diag.message_hint}")
        case errors.InsufficientPrivilege():
            return DatabaseUnfit(f"{place}: {found}; migrate as a role that may create schemas or owns schema outbox")
        case psycopg.OperationalError() if error.sqlstate is None or error.sqlstate.startswith(("08", "57")):
            return refused(conninfo, error)
        case _:
            return WorkFailed(f"{place}: the migration failed ({error.sqlstate}: {found}), nothing was changed")


def _holders(conninfo: str) -> str:
    """Name who is in the way, as far as can still be seen: they may be gone by now."""
    try:
        with connect(conninfo) as opened:
            rows = opened.execute(READ_HOLDERS, [TURN_LOCK]).fetchall()
    except (psycopg.Error, DatabaseUnfit):
        rows = []
    return "; ".join(row[0] for row in rows) or "somebody who is gone by now"
