"""How Alembic runs the outbox's migrations: one transaction, one operator at a time, never long in the way.

It serves `relay migrate`, which hands over the database and the number of shards in the configuration's
attributes, and plain `alembic`, which has them from `DATABASE_URL`, `-x shards=32` and `-x roles=off`. Nothing here
knows what a migration does.
"""

import os
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from alembic import context
from alembic.runtime.migration import MigrationContext, MigrationInfo
from alembic.util import CommandError
from sqlalchemy import Connection

from relay import migrate, migrate_session
from relay.errors import RelayError

BEFORE = f"""
-- pin_transaction: whatever the role's own defaults are
set transaction isolation level read committed, read write;
set local statement_timeout = 0;
-- notice_death: an operator who is killed or cut off takes the turn and all locks along within seconds
set local client_connection_check_interval = '1s';
set local tcp_user_timeout = 10000;
-- serialise_operators: the second one waits for the first, then finds nothing left to do
set local lock_timeout = '{migrate.TURN_TIMEOUT}';
select pg_advisory_xact_lock({migrate_session.TURN_LOCK}, 0);
-- yield_to_writers: a migration that waits for a table makes every later writer wait behind it
set local lock_timeout = '{migrate.LOCK_TIMEOUT}';
set local search_path = pg_catalog;
"""

CREATE_SCHEMA = """
-- create_schema: the version table lives in it
create schema if not exists outbox;
"""

VERSION_TABLE = "schema_version"
SCHEMA = "outbox"

HERE = Path(__file__).parent


def main() -> None:
    """Run what Alembic was asked for; at its command line a user's mistake ends in one line, no traceback."""
    context.config.attributes.setdefault("shards", asked_shards())
    context.config.attributes.setdefault("roles", asked_roles())
    if context.is_offline_mode():
        offline()
    elif "connection" in context.config.attributes:
        online(context.config.attributes["connection"])
    else:
        try:
            with migrate_session.connection(os.environ.get("DATABASE_URL", "")) as connection:
                online(connection)
        except RelayError as error:
            raise CommandError(str(error)) from None


def asked_shards() -> int:
    """Read `-x shards=32` of Alembic's command line."""
    given = context.get_x_argument(as_dictionary=True).get("shards", str(migrate.DEFAULT_SHARDS))
    if not given.isdecimal() or not 1 <= int(given) <= migrate.MOST_SHARDS:
        raise CommandError(f"-x shards={given}: allowed are 1 to {migrate.MOST_SHARDS}")
    return int(given)


def asked_roles() -> bool:
    """Read `-x roles=off` of Alembic's command line."""
    given = context.get_x_argument(as_dictionary=True).get("roles", "on")
    if given not in ("on", "off"):
        raise CommandError(f"-x roles={given}: allowed are on and off")
    return given == "on"


def finish(ctx: MigrationContext, step: MigrationInfo, heads: Collection[Any], run_args: Mapping[str, Any]) -> None:  # noqa: ARG001 - as Alembic calls it
    """After the last step up: let no older relay be left behind, and give the roles their rights."""
    if not step.is_upgrade or set(heads) != set(context.script.get_heads()):
        return
    names = ["older_relays.sql", *(["roles.sql"] if context.config.attributes["roles"] else [])]
    for script in [(HERE / name).read_text(encoding="utf-8") for name in names]:
        if ctx.as_sql:
            ctx.impl.static_output(script)
        elif ctx.connection:
            ctx.connection.exec_driver_sql(script, execution_options={"no_parameters": True})


def offline() -> None:
    """Print the statements as a script for psql, in one transaction."""
    context.configure(
        dialect_name="postgresql",
        version_table=VERSION_TABLE,
        version_table_schema=SCHEMA,
        on_version_apply=finish,
    )
    with context.begin_transaction():
        context.get_context().impl.static_output((BEFORE + CREATE_SCHEMA).strip())
        context.run_migrations()


def online(connection: Connection) -> None:
    """Run the migrations in the connection's transaction: all of them, or none."""
    connection.exec_driver_sql(BEFORE)
    # `if not exists` would ask for the right to create schemas even where an administrator has made this one.
    if connection.exec_driver_sql("select to_regnamespace('outbox') is null").scalar():
        connection.exec_driver_sql(CREATE_SCHEMA)
    context.configure(
        connection=connection,
        version_table=VERSION_TABLE,
        version_table_schema=SCHEMA,
        on_version_apply=finish,
    )
    with context.begin_transaction():
        context.run_migrations()


main()
