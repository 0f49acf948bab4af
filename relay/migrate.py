"""Makes, changes and takes away the outbox schema, through the migrations that the package carries.

Guarantees: a migration happens whole or not at all; two operators at once take turns; it gives up after
seconds rather than hold writers up; no error shows a password. Reads no `alembic.ini`. Not imported by a
running relay, which needs neither SQLAlchemy nor Alembic and asks `relay.revision` instead.
"""

import io
from collections.abc import Callable
from pathlib import Path

import sqlalchemy
from alembic import command
from alembic.config import Config
from alembic.util import CommandError

from relay import revision
from relay.errors import SchemaError, SettingsError, UserMistake
from relay.migrate_session import connect, connection, libpq_url, own_errors
from relay.revision import Check, State

DEFAULT_SHARDS = 16
MOST_SHARDS = 256
"""Each shard is an advisory lock and an index descent per read; more than this only costs."""

TURN_TIMEOUT = "60s"
"""How long an operator waits for the turn of another."""

LOCK_TIMEOUT = "3s"
"""How long a migration waits for a table. Meanwhile every new writer of that table waits behind it:
PostgreSQL's lock queue lets nobody overtake a waiting request that it conflicts with."""

SHARD_COUNT = "-- shard_count\nselect outbox.shard_count()"


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
    with own_errors(conninfo), connect(conninfo) as opened:
        return revision.check(opened)


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
