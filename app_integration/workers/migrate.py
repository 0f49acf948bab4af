"""Makes and takes away the schema `worker`, by the migrations beside this file, and tells whether it is there.

Guarantees: a migration happens whole or not at all, two operators take turns, no error shows a password. A running
worker only asks `demand`, which needs neither SQLAlchemy nor Alembic.
"""
# ruff: noqa: PLC0415 - a running worker imports this file, and neither SQLAlchemy nor Alembic

from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
from psycopg import errors

from app_integration.workers import database
from app_integration.workers.verdict import Outage, say
from relay.errors import DatabaseUnfit, DatabaseUnreachable, SchemaError, WorkFailed

REVISION = "0001"
"""The revision that this release works with."""

FOLDER = Path(__file__).with_name("migrations")

READ_REVISION = """
-- read_revision
select max(version_num) from worker.schema_version
"""


def upgrade(database_url: str) -> None:
    """Bring the schema to this release's revision; where it is current nothing changes.

    Args:
        database_url: a libpq or SQLAlchemy URL.

    Raises:
        DatabaseUnreachable, DatabaseUnfit, WorkFailed: what PostgreSQL refused; nothing was changed.
    """
    from alembic import command

    _run(database_url, command.upgrade, "head")


def downgrade(database_url: str) -> None:
    """Take the tables away, with all that is in them: what was audited, rolled up and notified too.

    Args:
        database_url: a libpq or SQLAlchemy URL.

    Raises:
        DatabaseUnreachable, DatabaseUnfit, WorkFailed: what PostgreSQL refused; nothing was changed.
    """
    from alembic import command

    _run(database_url, command.downgrade, "base")


def demand(connection: "psycopg.Connection[Any]") -> None:
    """Go on only with a current schema.

    Raises:
        SchemaError: it is missing, older or newer.
    """
    try:
        row = connection.execute(READ_REVISION).fetchone()
    except (errors.UndefinedTable, errors.InvalidSchemaName):
        row = None
    found = row[0] if row else None
    if found is None:
        raise SchemaError("there is no schema of the workers; make it with: python -m app_integration worker migrate")
    if found != REVISION:
        raise SchemaError(
            f"the workers' schema is at revision {found}, this release needs {REVISION}; run: "
            "python -m app_integration worker migrate, or install the release that migrated it"
        )


def _run(database_url: str, act: Callable[..., None], to: str) -> None:
    import sqlalchemy
    from alembic.config import Config
    from sqlalchemy.exc import DBAPIError

    conninfo = database.libpq_url(database_url)
    config = Config()
    config.set_main_option("script_location", str(FOLDER).replace("%", "%%"))
    engine = sqlalchemy.create_engine(
        "postgresql+psycopg://", creator=lambda: _connect(conninfo), poolclass=sqlalchemy.NullPool
    )
    try:
        with engine.begin() as connection:
            config.attributes["connection"] = connection
            act(config, to)
    except DBAPIError as error:
        raise _own_error(database.where(conninfo), error.orig) from None


def _connect(conninfo: str) -> "psycopg.Connection[Any]":
    try:
        connection = database.connect(conninfo, "migrate")
    except Outage as outage:
        raise DatabaseUnreachable(str(outage)) from None
    connection.autocommit = False
    return connection


def _own_error(place: str, error: BaseException | None) -> DatabaseUnfit | WorkFailed:
    told = say(error) if error else "unknown"
    if isinstance(error, errors.InsufficientPrivilege):
        return DatabaseUnfit(f"{place}: {told}; migrate as a role that may create schemas, or owns schema worker")
    return WorkFailed(f"{place}: {told}; nothing was changed")
