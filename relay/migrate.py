"""Makes, changes and takes away the outbox schema, through the migrations that the package carries.

Guarantees: a migration happens whole or not at all; two operators at once take turns; it gives up after
seconds rather than hold writers up; no error shows a password. Reads no `alembic.ini`. Not imported by a
running relay, which needs neither SQLAlchemy nor Alembic and asks `relay.revision` instead.
"""

import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import sqlalchemy
from alembic import command
from alembic.config import Config
from alembic.util import CommandError
from psycopg import errors
from psycopg.conninfo import conninfo_to_dict
from sqlalchemy.exc import DBAPIError

from relay import revision
from relay.connection import STANDBY, first_line, primary_of_several, refused, unfit, where
from relay.errors import DatabaseUnfit, RelayError, SchemaError, SettingsError, UserMistake, WorkFailed
from relay.revision import Check, State

DEFAULT_SHARDS = 16
MOST_SHARDS = 256
"""Each shard is an advisory lock and an index descent per read; more than this only costs."""

TURN_LOCK = 0x6F757404
"""The class of the advisory lock on which operators take turns; next to those of `relay.locks`."""

TURN_TIMEOUT = "60s"
"""How long an operator waits for the turn of another."""

LOCK_TIMEOUT = "3s"
"""How long a migration waits for a table. Meanwhile every new writer of that table waits behind it:
PostgreSQL's lock queue lets nobody overtake a waiting request that it conflicts with."""

APPLICATION = "outbox-relay migrate"

SHARD_COUNT = "-- shard_count\nselect outbox.shard_count()"

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


def upgrade(database_url: str, *, shards: int | None = None, to: str = "head", roles: bool = True) -> None:
    """Bring the outbox schema up to a revision, making it where there is none.

    Args:
        database_url: a libpq or SQLAlchemy URL of PostgreSQL, or a libpq connection string.
        shards: into how many shards keys are divided, 1 to 256. Fixed when the schema is created, 16 unless
            given; an existing schema must agree.
        to: a revision, or `head`.
        roles: whether to make the three roles where they are missing, and to give them their rights.

    A schema that is newer, but that this release works with, is left as it is, and so are its roles.

    Raises:
        SchemaError: the schema is newer than this release works with, or has other shards than asked for.
        DatabaseUnfit: PostgreSQL older than 14, a standby, or a right is missing.
        DatabaseUnreachable: nobody answers.
        WorkFailed: a lock could not be had in time. Nothing was changed.
        UserMistake: the arguments make no sense, the roles may not be made, or relays are running that could not work
            with the new schema.
    """
    check_shards(shards)
    found = check(database_url)
    if found.state in (State.TOO_NEW, State.UNRECORDED):
        found.demand()
    if found.state is State.AHEAD:
        return
    with connection(database_url) as to_database:
        _run(command.upgrade, to, to_database, shards, roles=roles)
        if roles and found.state is State.CURRENT:
            # After a migration that has run it is done already; else they may be missing, as in a restored dump.
            script = (location() / "roles.sql").read_text(encoding="utf-8")
            to_database.exec_driver_sql(script, execution_options={"no_parameters": True})
        if shards is not None:
            _demand_shards(to_database, shards)


def downgrade(database_url: str, to: str = "base") -> None:
    """Take the outbox schema back to a revision. Refused while a message is unsent.

    Back at `base` only schema `outbox` and its empty version table are left.

    Args:
        database_url: as for `upgrade`.
        to: a revision, or `base`.

    Raises:
        UserMistake: a message is unsent, or there is no such revision. Nothing was changed.
        SchemaError, DatabaseUnfit, DatabaseUnreachable, WorkFailed: as for `upgrade`.
    """
    found = check(database_url)
    if found.state is State.MISSING:
        return
    if found.state is not State.TOO_OLD:
        found.demand_current()
    with connection(database_url) as to_database:
        _run(command.downgrade, to, to_database, None)


def sql(shards: int | None = None, to: str = "head", *, roles: bool = True) -> str:
    """Return the migration as a script for psql, in one transaction, for those who let a DBA run it.

    Args:
        shards: as for `upgrade`.
        to: a revision or `head`, from an empty database; `0001:head` starts from a revision.
        roles: as for `upgrade`.

    Raises:
        UserMistake: there is no such revision, or the number of shards is not allowed.
    """
    check_shards(shards)
    printed = io.StringIO()
    config = _config(shards, roles=roles)
    config.output_buffer = printed
    try:
        command.upgrade(config, to, sql=True)
    except CommandError as error:
        raise UserMistake(f"migration to {to!r}: {error}") from None
    return printed.getvalue()


def check(database_url: str) -> Check:
    """Look up which revision a database has and what that means for this release. Reads only.

    Raises:
        DatabaseUnfit: PostgreSQL older than 14, a standby, or a right is missing.
        DatabaseUnreachable: nobody answers.
    """
    conninfo = libpq_url(database_url)
    with _own_errors(conninfo), _connect(conninfo) as opened:
        return revision.check(opened)


@contextmanager
def connection(database_url: str) -> Iterator[sqlalchemy.Connection]:
    """Open a transaction for migrations, committed at the end of the block; it fails with own errors only.

    Args:
        database_url: as for `upgrade`.
    """
    conninfo = libpq_url(database_url)
    # The driver itself reads the URL: what libpq knows (several hosts, services) works here as in the relay.
    engine = sqlalchemy.create_engine(
        "postgresql+psycopg://", creator=lambda: _connect(conninfo), poolclass=sqlalchemy.NullPool
    )
    with _own_errors(conninfo), engine.begin() as opened:
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


def location() -> Path:
    """Find the migrations: inside the package where it was installed, beside it in a checkout."""
    inside = Path(__file__).with_name("migrations")
    return inside if inside.is_dir() else Path(__file__).parent.with_name("migrations")


def check_shards(shards: int | None) -> None:
    """Allow a number of shards, or refuse it by a `SettingsError`."""
    if shards is not None and not 1 <= shards <= MOST_SHARDS:
        raise SettingsError(f"shards is {shards}: allowed are 1 to {MOST_SHARDS}")


def _config(shards: int | None, *, roles: bool) -> Config:
    config = Config()
    config.set_main_option("script_location", str(location()).replace("%", "%%"))
    config.attributes["shards"] = shards or DEFAULT_SHARDS
    config.attributes["roles"] = roles
    return config


def _run(
    act: Callable[[Config, str], None],
    to: str,
    opened: sqlalchemy.Connection,
    shards: int | None,
    *,
    roles: bool = False,
) -> None:
    config = _config(shards, roles=roles)
    config.attributes["connection"] = opened
    try:
        act(config, to)
    except CommandError as error:
        raise UserMistake(f"migration to {to!r}: {error}; known are {', '.join(revision.KNOWN_REVISIONS)}") from None


def _demand_shards(opened: sqlalchemy.Connection, shards: int) -> None:
    found = opened.exec_driver_sql(SHARD_COUNT).scalar_one()
    if found != shards:
        raise SchemaError(
            f"{shards} shards were asked for, but the schema was created with {found}, and every message's "
            "shard depends on it: leave the number out, or drain, migrate down and up again"
        )


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


def _connect(conninfo: str) -> "psycopg.Connection":
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
def _own_errors(conninfo: str) -> Iterator[None]:
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
        with _connect(conninfo) as opened:
            rows = opened.execute(READ_HOLDERS, [TURN_LOCK]).fetchall()
    except (psycopg.Error, DatabaseUnfit):
        rows = []
    return "; ".join(row[0] for row in rows) or "somebody who is gone by now"
