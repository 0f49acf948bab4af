"""Makes and takes away one schema of Edu Matrix by its Alembic migrations, and tells whether it is there.

The schemas of the workers, of the real-time side and of the example are apart from the outbox's and from one another: a
database may have any of them, and each has its own version table. Guarantees: a migration happens whole or not at all,
two operators take turns, no error shows a password. A running process only asks `demand`, which needs neither
SQLAlchemy nor Alembic.
"""
# ruff: noqa: PLC0415 - a running process imports this file, and neither SQLAlchemy nor Alembic

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg import errors

from app_integration.variables import libpq_url, where
from relay.errors import DatabaseUnfit, DatabaseUnreachable, SchemaError, WorkFailed

if TYPE_CHECKING:
    from alembic.operations import Operations

VERSIONS = "schema_version"
"""The table, in each schema, that says which revision it is at."""

BEFORE = """
-- serialise_operators: the second one waits for the first, then finds nothing left to do
set local lock_timeout = '60s';
select pg_advisory_xact_lock(hashtextextended('outbox-relay migrate {schema}', 0));
-- yield_to_others: a migration that waits for a table makes every later statement wait behind it
set local lock_timeout = '3s';
set local search_path = pg_catalog;
"""


@dataclass(frozen=True, slots=True)
class Migrations:
    """Those of one schema.

    Args:
        schema: its name in PostgreSQL.
        owner: whose it is, in words: "the workers".
        command: that makes it, for whoever has it not.
        revision: with which this release works.
        folder: of Alembic's `env.py` and `versions`.
    """

    schema: str
    owner: str
    command: str
    revision: str
    folder: Path

    def upgrade(self, database_url: str) -> None:
        """Bring the schema to this release's revision; where it is current nothing changes.

        Args:
            database_url: a libpq or SQLAlchemy URL.

        Raises:
            DatabaseUnreachable, DatabaseUnfit, WorkFailed: what PostgreSQL refused; nothing was changed.
        """
        from alembic import command

        self._run(database_url, command.upgrade, "head")

    def downgrade(self, database_url: str) -> None:
        """Take the tables away, with all that is in them.

        Args:
            database_url: a libpq or SQLAlchemy URL.

        Raises:
            DatabaseUnreachable, DatabaseUnfit, WorkFailed: what PostgreSQL refused; nothing was changed.
        """
        from alembic import command

        self._run(database_url, command.downgrade, "base")

    @property
    def read_revision(self) -> bytes:
        """The statement that asks for the revision; where there is no such schema it fails."""
        return f"-- read_revision\nselect max(version_num) from {self.schema}.{VERSIONS}".encode()

    def demand(self, connection: "psycopg.Connection[Any]") -> None:
        """Go on only with a current schema.

        Raises:
            SchemaError: it is missing, older or newer.
            DatabaseUnfit: this role may not read it.
        """
        try:
            row = connection.execute(self.read_revision).fetchone()
        except psycopg.Error as error:
            self.without_revision(error)
            row = None
        self.judge(row[0] if row else None)

    def without_revision(self, error: psycopg.Error) -> None:
        """Tell what it means that the revision could not be read: nothing is there, unless this raises.

        Raises:
            DatabaseUnfit: this role may not read it.
            psycopg.Error: anything else.
        """
        if isinstance(error, errors.InsufficientPrivilege):
            raise DatabaseUnfit(
                f"this role may not read {self.schema}.{VERSIONS}; grant it usage on schema {self.schema}, and on its "
                "tables what the docs list"
            ) from None
        if not isinstance(error, errors.UndefinedTable | errors.InvalidSchemaName):
            raise error

    def judge(self, found: str | None) -> None:
        """Go on only at this release's revision.

        Raises:
            SchemaError: it is another one, or none.
        """
        if found is None:
            raise SchemaError(f"there is no schema of {self.owner}; make it with: {self.command}")
        if found != self.revision:
            raise SchemaError(
                f"the schema of {self.owner} is at revision {found}, this release needs {self.revision}; run: "
                f"{self.command}, or install the release that migrated it"
            )

    def _run(self, database_url: str, act: Callable[..., None], to: str) -> None:
        import sqlalchemy
        from alembic.config import Config
        from sqlalchemy.exc import DBAPIError

        conninfo = libpq_url(database_url)
        config = Config()
        config.set_main_option("script_location", str(self.folder).replace("%", "%%"))
        config.set_main_option("path_separator", "os")
        engine = sqlalchemy.create_engine(
            "postgresql+psycopg://", creator=lambda: self._connect(conninfo), poolclass=sqlalchemy.NullPool
        )
        try:
            with engine.begin() as connection:
                config.attributes["connection"] = connection
                act(config, to)
        except DBAPIError as error:
            raise self._own_error(where(conninfo), error.orig) from None

    def _connect(self, conninfo: str) -> "psycopg.Connection[Any]":
        try:
            return psycopg.connect(conninfo, connect_timeout=10, application_name=f"migrate {self.schema}")
        except psycopg.Error as error:
            raise DatabaseUnreachable(f"the database at {where(conninfo)} refuses a session: {_say(error)}") from None

    def _own_error(self, place: str, error: BaseException | None) -> DatabaseUnfit | WorkFailed:
        told = _say(error) if error else "unknown"
        if isinstance(error, errors.InsufficientPrivilege):
            return DatabaseUnfit(
                f"{place}: {told}; migrate as a role that may create schemas, or owns schema {self.schema}"
            )
        return WorkFailed(f"{place}: {told}; nothing was changed")


def run(schema: str) -> None:
    """Run migrations as `env.py`: on the connection, and in the one transaction, that `Migrations` hands over."""
    from alembic import context

    connection = context.config.attributes["connection"]
    connection.exec_driver_sql(BEFORE.format(schema=schema))
    if connection.exec_driver_sql(f"select to_regnamespace('{schema}') is null").scalar():
        connection.exec_driver_sql(f"create schema {schema}")
    context.configure(connection=connection, version_table=VERSIONS, version_table_schema=schema)
    with context.begin_transaction():
        context.run_migrations()


def execute(op: "Operations", script: Path) -> None:
    """Execute a script as it stands: no colon or percent sign in it is a parameter."""
    op.get_bind().exec_driver_sql(script.read_text(encoding="utf-8"), execution_options={"no_parameters": True})


def _say(error: BaseException) -> str:
    return " ".join(str(error).split())
