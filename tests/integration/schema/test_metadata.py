"""`relay.schema` says what the database has, and keeps an application's own Alembic away from it."""

import os
import subprocess
import sys
from pathlib import Path

import psycopg
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Column, Integer, MetaData, NullPool, Table, create_engine, insert
from sqlalchemy.dialects import registry

from relay.schema import leave_outbox_alone, message

COLUMNS = """
-- columns: name, type, not null, generated, identity, any default
select attname::text, format_type(atttypid, atttypmod), attnotnull, attgenerated <> '', attidentity = 'a',
       atthasdef
from pg_attribute where attrelid = 'outbox.message'::regclass and attnum > 0 order by attnum
"""

KEY = """
-- key
select pg_get_constraintdef(oid) from pg_constraint
where conrelid = 'outbox.message'::regclass and contype = 'p'
"""

ENVIRONMENT = """
import os
from alembic import context
from sqlalchemy import Column, Integer, MetaData, Table, create_engine
from relay.schema import leave_outbox_alone

metadata = MetaData()
Table("orders", metadata, Column("id", Integer, primary_key=True))
with create_engine(os.environ["SHOP"]).connect() as connection:
    context.configure(
        connection, target_metadata=metadata, include_schemas=True, include_name=leave_outbox_alone
    )
    with context.begin_transaction():
        context.run_migrations()
"""

TEMPLATE = """
revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}
from alembic import op
import sqlalchemy as sa


def upgrade():
    ${upgrades}


def downgrade():
    ${downgrades}
"""


def sqlalchemy_url(url: str) -> str:
    return url.replace("postgresql://", "postgresql+psycopg://")


def test_metadata_describes_the_table_as_it_is(session: "psycopg.Connection") -> None:
    spoken = registry.load("postgresql.psycopg")()
    described = [
        (
            column.name,
            column.type.compile(spoken).lower(),
            not column.nullable,
            column.computed is not None,
            column.identity is not None,
            column.server_default is not None and column.identity is None,
        )
        for column in message.columns
    ]
    assert described == session.execute(COLUMNS).fetchall()
    assert session.execute(KEY).fetchall() == [("PRIMARY KEY (shard, seq, slot)",)]
    assert {column.name for column in message.primary_key} == {"shard", "seq", "slot"}


def test_sqlalchemy_inserts_what_a_writer_may_write(database: str) -> None:
    engine = create_engine(sqlalchemy_url(database), poolclass=NullPool)
    with engine.begin() as connection:
        connection.execute(insert(message).values(topic="orders", payload=b"1", headers={"tenant": "a"}))
    with engine.connect() as connection:
        found = connection.execute(message.select()).one()
    assert (found.topic, found.payload, found.headers, found.seq) == ("orders", b"1", {"tenant": "a"}, 1)


def test_autogenerate_of_an_application_sees_nothing_of_the_outbox(database: str) -> None:
    shop = MetaData()
    Table("orders", shop, Column("id", Integer, primary_key=True))
    engine = create_engine(sqlalchemy_url(database), poolclass=NullPool)
    with engine.connect() as connection:
        options = {"include_schemas": True, "include_name": leave_outbox_alone}
        found = compare_metadata(MigrationContext.configure(connection, opts=options), shop)
    assert [(change[0], change[1].name) for change in found] == [("add_table", "orders")]


def test_alembic_of_an_application_writes_a_migration_without_the_outbox(database: str, tmp_path: Path) -> None:
    """The whole recipe of `docs/migrations.md`, as an application runs it."""
    (tmp_path / "versions").mkdir()
    (tmp_path / "env.py").write_text(ENVIRONMENT)
    (tmp_path / "script.py.mako").write_text(TEMPLATE)
    ini = tmp_path / "alembic.ini"
    ini.write_text(f"[alembic]\nscript_location = {tmp_path}\n")
    done = subprocess.run(
        [sys.executable, "-m", "alembic", "-c", str(ini), "revision", "--autogenerate", "-m", "shop"],
        env={**os.environ, "SHOP": sqlalchemy_url(database)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    (written,) = (tmp_path / "versions").glob("*.py")
    assert "create_table('orders'" in written.read_text()
    assert "outbox" not in written.read_text()
