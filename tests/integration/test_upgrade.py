"""A fleet is rolled without a stop: this release's relays and writers go on while the next release migrates.

The next releases are copies of this one with a migration more: 0002 only adds, 0003 takes away what relays of 0001 use.
"""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psycopg
import pytest

from relay.judge import read_topics
from tests.command import REPOSITORY, environment
from tests.releases import ADDS, TAKES, release

SLOW = "select pg_sleep(3600)"


def begin(release: Path, *arguments: str, **variables: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "relay", *arguments],
        cwd=release,
        env={**environment(**variables), "PYTHONPATH": str(release)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def ended(process: "subprocess.Popen[str]") -> tuple[int, str]:
    output, errors = process.communicate(timeout=60)
    assert "Traceback" not in errors, errors
    return process.returncode, output + errors


def wait_until(holds: str, connection: "psycopg.Connection", seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while connection.execute(holds.encode()).fetchone() != (True,):
        assert time.monotonic() < deadline, holds
        time.sleep(0.05)


AT_WORK = "select count(*) = {} from pg_locks where locktype = 'advisory' and classid = 1869968416 and granted"
ALL_SENT = "select count(*) = 0 from outbox.message_state where state <> 'sent'"


def test_a_fleet_is_rolled_without_a_stop(database: str, kafka_brokers: str, topic: str, tmp_path: Path) -> None:
    two = release(tmp_path / "two", r0002=ADDS)
    three = release(tmp_path / "three", r0002=ADDS, r0003=TAKES)
    servers = {"DATABASE_URL": database, "KAFKA_BROKERS": kafka_brokers}
    with psycopg.connect(database, autocommit=True) as session:

        def write(numbers: range) -> None:
            for number in numbers:
                query = "select outbox.enqueue(%s, to_jsonb(%s::int), key => %s)"
                session.execute(query, [topic, number, str(number % 3)])

        with begin(REPOSITORY, "run", **servers, RELAY_NAME="old") as old:
            wait_until(AT_WORK.format(1), session)
            write(range(30))
            assert ended(begin(two, "migrate", **servers))[0] == 0
            write(range(30, 60))
            wait_until(ALL_SENT, session)
            # The next step would leave the old relay behind: refused, and nothing is changed.
            code, said = ended(begin(three, "migrate", **servers))
            assert (code, "cannot work with the new schema are running: outbox-relay old" in said) == (2, True), said
            assert session.execute("select max(version_num) from outbox.schema_version").fetchone() == ("0002",)
            with begin(two, "run", **servers, RELAY_NAME="new") as new:
                wait_until(AT_WORK.format(2), session)
                old.send_signal(signal.SIGTERM)
                assert ended(old)[0] == 0
                write(range(60, 90))
                assert ended(begin(three, "migrate", **servers))[0] == 0
                write(range(90, 120))
                wait_until(ALL_SENT, session)
                code, said = ended(begin(REPOSITORY, "run", **servers))
                assert (code, "newer than this relay knows" in said) == (2, True), said
                # An old release's migration job that runs again does not harm what is newer.
                assert ended(begin(two, "migrate", **servers))[0] == 0
                new.send_signal(signal.SIGTERM)
                assert ended(new)[0] == 0
    seen = read_topics(kafka_brokers, [topic])
    assert len(seen) == 120
    assert len({message.id for message in seen}) == 120


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_an_interrupted_migration_leaves_nothing_and_goes_on_when_run_again(
    number: signal.Signals, database: str, tmp_path: Path
) -> None:
    with psycopg.connect(database, autocommit=True) as session:
        with begin(release(tmp_path / "slow", r0002=f"{ADDS}; {SLOW}"), "migrate", DATABASE_URL=database) as process:
            sleeping = "select count(*) = 1 from pg_stat_activity"
            sleeping += " where wait_event = 'PgSleep' and datname = current_database()"
            wait_until(sleeping, session)
            os.kill(process.pid, number)
            process.communicate(timeout=60)
        done = begin(release(tmp_path / "two", r0002=ADDS), "migrate", DATABASE_URL=database)
        assert ended(done)[0] == 0
        assert session.execute("select max(version_num) from outbox.schema_version").fetchone() == ("0002",)
        session.execute("select outbox.enqueue('orders', '1')")


def test_a_migration_that_meets_a_writer_gives_up_soon_and_goes_on_when_run_again(
    database: str, tmp_path: Path
) -> None:
    two = release(tmp_path / "two", r0002="alter table outbox.message add column note text")
    with psycopg.connect(database) as writer:
        writer.execute("select outbox.enqueue('orders', '1')")
        code, said = ended(begin(two, "migrate", DATABASE_URL=database))
        assert (code, "a lock could not be had in time" in said) == (1, True), said
    assert ended(begin(two, "migrate", DATABASE_URL=database))[0] == 0
