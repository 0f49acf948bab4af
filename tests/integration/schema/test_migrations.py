"""The schema is made and taken away whole, by one operator at a time, never with an unsent message in it."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest
from alembic.script import ScriptDirectory

from relay import migrate, migrate_session
from relay.errors import DatabaseUnfit, SchemaError, SettingsError, UserMistake, WorkFailed
from relay.revision import KNOWN_REVISIONS, REVISION, State

ROOT = Path(__file__).parents[3]

OBJECTS = """
-- objects: everything in schema outbox that a migration made
select relname::text from pg_class
where relnamespace = 'outbox'::regnamespace and relkind in ('r', 'p', 'v', 'S')
union all
select proname::text from pg_proc where pronamespace = 'outbox'::regnamespace
order by 1
"""

SEND_ALL = """
-- send_all: what a relay records once everything that is visible was sent
with horizon as (
    insert into outbox.snapshot (taken, floor, system_identifier)
    select pg_current_snapshot(), 0, system_identifier from pg_control_system()
    returning id
)
insert into outbox.checkpoint (shard, batch, seen, target, upto, sent)
select shard, 1, horizon.id, null, 0, 1 from horizon, generate_series(0, outbox.shard_count() - 1) as shard
"""


TOO_NEW = """
-- a_release_far_ahead: its schema has nothing left that relays of this release could work with
update outbox.schema_version set version_num = '9999';
create or replace function outbox.oldest_relay() returns text language sql stable return '9998'
"""


def objects(url: str) -> list[str]:
    with psycopg.connect(url) as connection:
        return [name for (name,) in connection.execute(OBJECTS)]


def execute(url: str, statement: str) -> None:
    with psycopg.connect(url) as connection:
        connection.execute(statement.encode())


def alembic(url: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
    environment = {**os.environ, "DATABASE_URL": url}
    return subprocess.run(
        [sys.executable, "-m", "alembic", *arguments],
        cwd=ROOT, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip


def psql(binaries: Path, url: str, script: str) -> None:
    """Run a script as a person would paste it, with the psql of this server or the machine's own."""
    program = binaries / "psql" if (binaries / "psql").exists() else shutil.which("psql")
    assert program, "no psql was found"
    command = [program, "--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1", url]
    done = subprocess.run(command, input=script, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_up_down_and_up_again(empty_database: str) -> None:
    assert migrate.check(empty_database).state is State.MISSING
    migrate.upgrade(empty_database)
    made = objects(empty_database)
    assert migrate.check(empty_database).state is State.CURRENT
    migrate.downgrade(empty_database)
    assert objects(empty_database) == ["schema_version"]
    assert migrate.check(empty_database).state is State.MISSING
    migrate.upgrade(empty_database)
    assert objects(empty_database) == made


def test_up_and_down_twice_changes_nothing(empty_database: str) -> None:
    migrate.upgrade(empty_database)
    migrate.upgrade(empty_database)
    migrate.downgrade(empty_database)
    migrate.downgrade(empty_database)
    assert migrate.check(empty_database).state is State.MISSING


def test_sqlalchemy_urls_are_accepted(empty_database: str) -> None:
    migrate.upgrade(empty_database.replace("postgresql://", "postgresql+psycopg://"))
    assert migrate.check(empty_database).state is State.CURRENT


def test_plain_alembic_makes_the_same_schema(empty_database: str, database: str) -> None:
    done = alembic(empty_database, "upgrade", "head")
    assert done.returncode == 0, done.stderr
    assert objects(empty_database) == objects(database)
    assert alembic(empty_database, "downgrade", "base").returncode == 0
    assert migrate.check(empty_database).state is State.MISSING


def test_plain_alembic_reports_a_mistake_in_one_line(database: str) -> None:
    execute(database, "select outbox.enqueue('orders', '1')")
    done = alembic(database, "downgrade", "base")
    assert done.returncode != 0
    assert "1 message(s) in outbox.message are unsent" in done.stdout + done.stderr
    assert "Traceback" not in done.stderr


def test_printed_script_makes_the_same_schema(binaries: Path, empty_database: str, database: str) -> None:
    psql(binaries, empty_database, migrate.sql(shards=4))
    assert objects(empty_database) == objects(database)
    assert migrate.check(empty_database).state is State.CURRENT
    migrate.upgrade(empty_database, shards=4)


def test_dump_of_the_schema_alone_takes_messages(binaries: Path, empty_database: str, database: str) -> None:
    dump = subprocess.run([binaries / "pg_dump", "--schema-only", database], capture_output=True, text=True, check=True)
    psql(binaries, empty_database, dump.stdout)
    assert objects(empty_database) == objects(database)
    execute(empty_database, "select outbox.enqueue('orders', '1')")
    with pytest.raises(SchemaError, match="has tables but no recorded revision"):
        migrate.upgrade(empty_database)


def test_dump_keeps_messages_checkpoints_and_revision(binaries: Path, empty_database: str, database: str) -> None:
    execute(database, "select outbox.enqueue('orders', '1')")
    dump = subprocess.run([binaries / "pg_dump", database], capture_output=True, text=True, check=True)
    psql(binaries, empty_database, dump.stdout)
    assert migrate.check(empty_database).state is State.CURRENT
    for table in ("message", "checkpoint", "snapshot"):
        count = f"select count(*) from outbox.{table}".encode()
        with psycopg.connect(database) as old, psycopg.connect(empty_database) as new:
            assert old.execute(count).fetchone() == new.execute(count).fetchone()


def test_down_refuses_while_a_message_is_unsent(database: str) -> None:
    before = objects(database)
    execute(database, "select outbox.enqueue('orders', '1')")
    with pytest.raises(UserMistake, match=r"1 message\(s\) in outbox\.message are unsent"):
        migrate.downgrade(database)
    assert objects(database) == before


def test_down_takes_sent_messages_away(database: str) -> None:
    execute(database, "select outbox.enqueue('orders', '1')")
    execute(database, SEND_ALL)
    migrate.downgrade(database)
    assert objects(database) == ["schema_version"]


def test_down_refuses_for_a_message_that_a_checkpoint_passed_over(database: str) -> None:
    """A transaction was open when the rest was sent: its low number must not make its message look sent."""
    with psycopg.connect(database) as late:
        late.execute("select outbox.enqueue('orders', '1', key => 'late')")
        execute(database, "select outbox.enqueue('orders', '2', key => 'late')")
        execute(database, SEND_ALL)
        late.commit()
    with pytest.raises(UserMistake, match=r"1 message\(s\)"):
        migrate.downgrade(database)


def test_down_gives_up_soon_behind_a_writer_and_names_it(database: str) -> None:
    before = objects(database)
    with psycopg.connect(database, application_name="shop") as writer:
        writer.execute("select outbox.enqueue('orders', '1')")
        with pytest.raises(WorkFailed, match=r"held by pid \d+ \(shop\), idle in transaction"):
            migrate.downgrade(database)
        writer.rollback()
    assert objects(database) == before
    migrate.downgrade(database)


def test_down_names_a_prepared_transaction_in_its_way(database: str) -> None:
    name = f"left in {database.rpartition('/')[2]}"
    with psycopg.connect(database) as writer:
        writer.execute("set outbox.doorbell = off")
        writer.execute("select outbox.enqueue('orders', '1')")
        writer.execute(f"prepare transaction '{name}'".encode())
    with pytest.raises(WorkFailed, match="a prepared transaction"):
        migrate.downgrade(database)
    with psycopg.connect(database, autocommit=True) as writer:
        writer.execute(f"rollback prepared '{name}'".encode())
    migrate.downgrade(database)


def test_two_operators_at_once_both_succeed(empty_database: str) -> None:
    command = [
        sys.executable,
        "-c",
        "import sys; from relay import migrate; migrate.upgrade(sys.argv[1])",
        empty_database,
    ]
    operators = [subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    for operator in operators:
        _, complaint = operator.communicate(timeout=60)
        assert operator.returncode == 0, complaint
    assert migrate.check(empty_database).state is State.CURRENT


def test_second_operator_waits_for_the_first(empty_database: str) -> None:
    command = [
        sys.executable,
        "-c",
        "import sys; from relay import migrate; migrate.upgrade(sys.argv[1])",
        empty_database,
    ]
    waiting = "select count(*) from pg_locks where locktype = 'advisory' and classid = %s and not granted"
    with psycopg.connect(empty_database) as first:
        first.execute("select pg_advisory_xact_lock(%s, 0)", [migrate_session.TURN_LOCK])
        with subprocess.Popen(command, cwd=ROOT) as second:
            while first.execute(waiting, [migrate_session.TURN_LOCK]).fetchone() == (0,):
                assert second.poll() is None, "the second operator did not wait"
            first.rollback()
            assert second.wait(60) == 0
    assert migrate.check(empty_database).state is State.CURRENT


def test_failed_migration_leaves_nothing_behind(empty_database: str) -> None:
    execute(empty_database, "create schema outbox; create table outbox.snapshot (id int)")
    with pytest.raises(WorkFailed, match=r'relation "snapshot" already exists.*nothing was changed'):
        migrate.upgrade(empty_database)
    assert objects(empty_database) == ["snapshot"]


def test_newer_schema_is_refused(database: str) -> None:
    execute(database, TOO_NEW)
    assert migrate.check(database).state is State.TOO_NEW
    for act in (migrate.upgrade, migrate.downgrade):
        with pytest.raises(SchemaError, match="revision 9999, newer than this relay knows"):
            act(database)


def test_other_number_of_shards_is_refused(database: str) -> None:
    migrate.upgrade(database, shards=16)
    with pytest.raises(SchemaError, match="8 shards were asked for, but the schema was created with 16"):
        migrate.upgrade(database, shards=8)


def test_unknown_revision_is_refused(database: str) -> None:
    with pytest.raises(UserMistake, match=r"0815.*known are 0001"):
        migrate.upgrade(database, to="0815")


def test_role_that_may_not_create_schemas_is_told_so(empty_database: str) -> None:
    role = f"operator_of_{empty_database.rpartition('/')[2]}"
    execute(empty_database, f"create role {role} login")
    own = empty_database.replace("postgres@", f"{role}@")
    with pytest.raises(DatabaseUnfit, match="permission denied for database"):
        migrate.upgrade(own, roles=False)
    execute(empty_database, f"create schema outbox authorization {role}")
    migrate.upgrade(own, roles=False)
    assert migrate.check(own).state is State.CURRENT


@pytest.mark.parametrize("shards", [0, 257, -1])
def test_impossible_number_of_shards_is_refused(empty_database: str, shards: int) -> None:
    with pytest.raises(SettingsError, match=f"shards is {shards}: allowed are 1 to 256"):
        migrate.upgrade(empty_database, shards=shards)


def test_release_knows_exactly_the_migrations_there_are() -> None:
    scripts = ScriptDirectory(str(migrate.location()))
    assert scripts.get_heads() == [REVISION]
    assert tuple(script.revision for script in scripts.walk_revisions())[::-1] == KNOWN_REVISIONS
