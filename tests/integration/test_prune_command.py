"""`relay prune`: what it prints, and its exit codes."""

import json
from collections.abc import Iterator

import psycopg
import pytest

from relay import locks
from tests.command import relay, start
from tests.faults.world import wait_until
from tests.integration.sending import Connection, enqueue, number, pass_time, send_all


@pytest.fixture
def owner(database: str) -> Iterator[Connection]:
    with psycopg.connect(database, autocommit=True) as connection:
        yield connection


def test_it_says_what_became_of_every_slot(database: str, owner: Connection) -> None:
    enqueue(owner, 1_000)
    send_all(database)
    pass_time(owner, "8 days")
    found = relay("prune", DATABASE_URL=database)
    assert found.returncode == 0
    lines = found.stdout.splitlines()
    assert lines[0].startswith("slot 0: emptied, ")
    assert lines[0].endswith(" MB given back")
    assert lines[2:8] == [f"slot {slot}: empty" for slot in range(2, 8)]
    assert lines[8] == "new messages go to slot 1 from now on"
    assert lines[9] == "deleted: 32 checkpoints, 1 snapshot, 0 settled held messages"
    assert number(owner, "select count(*) from outbox.message") == 0


def test_a_dry_run_changes_nothing(database: str, owner: Connection) -> None:
    enqueue(owner, 1_000)
    send_all(database)
    found = relay("prune", "--dry-run", "--retention", "0", DATABASE_URL=database)
    assert found.returncode == 0
    assert found.stdout.startswith("slot 0: would be emptied, ")
    assert "new messages would go to slot 1 from now on\nwould be deleted: 32 checkpoints, 0 settled" in found.stdout
    assert number(owner, "select count(*) from outbox.message") == 1_000


def test_json_has_the_documented_fields(database: str, owner: Connection) -> None:
    enqueue(owner, 5)
    found = json.loads(relay("prune", "--json", "--retention", "36h", DATABASE_URL=database).stdout)
    assert found.keys() == {"dry_run", "retention_seconds", "today", "rotated", "rotation_waits", "slots", "deleted"}
    assert (found["dry_run"], found["retention_seconds"], found["today"]) == (False, 129_600, 0)
    assert (found["slots"][0]["slot"], found["slots"][0]["fate"]) == (0, "today")
    assert found["slots"][0].keys() == {"slot", "fate", "bytes", "unsent", "unsent_capped", "holders"}
    assert found["deleted"].keys() == {"checkpoints", "snapshots", "held"}


def test_unsent_messages_are_counted_and_kept(database: str, owner: Connection) -> None:
    enqueue(owner, 5)
    pass_time(owner, "1 year")
    found = relay("prune", RELAY_RETENTION="1h", DATABASE_URL=database)
    assert found.returncode == 0
    assert "MB: 5 messages are unsent" in found.stdout


def test_a_slot_in_use_is_exit_code_1_and_says_by_whom(database: str, owner: Connection) -> None:
    enqueue(owner, 5)
    send_all(database)
    with psycopg.connect(database, application_name="pg_dump") as dump:
        dump.execute("select count(*) from outbox.message")
        pid = dump.info.backend_pid
        found = relay("prune", "--retention", "0", DATABASE_URL=database)
    assert found.returncode == 1
    assert f"in use by pid {pid} (pg_dump), idle in transaction" in found.stdout


def test_while_somebody_else_prunes_it_is_exit_code_1(database: str, owner: Connection) -> None:
    owner.execute("select pg_advisory_lock(%s, 0)", (locks.PRUNE,))
    found = relay("prune", DATABASE_URL=database)
    assert (found.returncode, found.stdout) == (1, "")
    assert "prunes at the moment, so nothing was done here; try again" in found.stderr


@pytest.mark.parametrize("retention", ["soon", "7", "-1d", "1.5h", "7 d", "", "4000d"])
def test_a_retention_that_is_no_time_is_a_mistake(retention: str, database: str) -> None:
    found = relay("prune", "--retention", retention, DATABASE_URL=database)
    assert found.returncode == 2
    assert "a whole number with s, m, h or d" in " ".join(found.stderr.replace("│", " ").split())


def test_positions_of_another_cluster_are_a_mistake(database: str, owner: Connection) -> None:
    owner.execute("update outbox.snapshot set system_identifier = 42")
    found = relay("prune", "--retention", "0", DATABASE_URL=database)
    assert found.returncode == 2
    assert "belong to the cluster 42" in found.stderr


def test_a_role_without_the_rights_is_told_each(database: str, owner: Connection) -> None:
    owner.execute("drop role if exists sweeper")
    owner.execute("create role sweeper login")
    owner.execute("grant usage on schema outbox to sweeper; grant select on all tables in schema outbox to sweeper")
    owner.execute("grant execute on function outbox.shard_count to sweeper")
    found = relay("prune", DATABASE_URL=database.replace("postgres@", "sweeper@"))
    assert found.returncode == 2
    assert "role sweeper lacks: delete on outbox.checkpoint, " in found.stderr
    assert "truncate on outbox.message_0" in found.stderr
    owner.execute("drop owned by sweeper")
    owner.execute("drop role sweeper")


def test_a_missing_outbox_is_a_mistake_with_its_mend(empty_database: str) -> None:
    found = relay("prune", DATABASE_URL=empty_database)
    assert found.returncode == 2
    assert "relay migrate" in found.stderr


def test_a_session_that_is_cut_is_exit_code_1(database: str, owner: Connection) -> None:
    enqueue(owner, 5)
    send_all(database)
    waiting = "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'"
    with psycopg.connect(database) as blocker:
        blocker.execute("lock table outbox.checkpoint in access exclusive mode")
        with start("prune", DATABASE_URL=database) as process:
            wait_until(lambda: bool(number(owner, waiting)), 60)
            owner.execute("select pg_terminate_backend(pid) from pg_stat_activity where wait_event_type = 'Lock'")
            _, errors = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "relay: the session was lost: " in errors
    assert "Traceback" not in errors


def test_a_step_that_postgresql_refuses_is_exit_code_1(database: str, owner: Connection) -> None:
    owner.execute("alter table outbox.rotation add constraint never check (slot <> 1)")
    enqueue(owner, 5)
    pass_time(owner, "1 year")
    found = relay("prune", DATABASE_URL=database)
    assert found.returncode == 1
    assert 'relay: PostgreSQL refused a step (new row for relation "rotation" violates check' in found.stderr
