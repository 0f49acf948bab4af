"""The commands of operators: each does what it says, and says what is wrong in a line and an exit code."""

import json
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from typing import Protocol

import psycopg
import pytest

from app_integration.workers import Received, Reject, Worker, operate
from app_integration.workers import command as worker_command
from app_integration.workers.audit import command as audit_command
from app_integration.workers.integrations import command as webhook_command
from app_integration.workers.integrations import endpoints
from tests.command import environment
from tests.integration.workers.conftest import Connection, Produce, Run, rows, wait_until, way


class Command(Protocol):
    """Runs a command in this process, with nothing of ours set but the database."""

    def __call__(self, name: str, *arguments: str, database: str = "") -> "Done": ...


@dataclass(frozen=True)
class Done:
    returncode: int
    stdout: str
    stderr: str


@pytest.fixture
def command(url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    for variable in ("KAFKA_BROKERS", "SMTP_HOST"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr(sys, "path", list(sys.path))
    mains = {"worker": worker_command.main, "webhook": webhook_command.main, "audit": audit_command.main}

    def run(name: str, *arguments: str, database: str = url) -> Done:
        monkeypatch.setenv("DATABASE_URL", database)
        capsys.readouterr()
        code = mains[name](list(arguments))
        return Done(code, *capsys.readouterr())

    return run


def test_the_commands_are_there_for_a_shell(empty_database: str) -> None:
    for name, arguments in (("worker", ["migrate"]), ("audit", ["verify"])):
        line = [sys.executable, "-m", "app_integration", name, *arguments]
        given = environment(DATABASE_URL=empty_database)
        done = subprocess.run(line, check=False, cwd=tempfile.gettempdir(), env=given, capture_output=True, text=True)
        assert (done.returncode, done.stderr) == (0, "")


def test_the_schema_is_made_twice_and_taken_away_only_on_purpose(empty_database: str, command: Command) -> None:
    for _ in range(2):
        done = command("worker", "migrate", database=empty_database)
        assert (done.returncode, done.stdout) == (0, "the workers' schema is current\n")
    assert command("worker", "migrate", "--down", database=empty_database).returncode == 2
    assert command("worker", "migrate", "--down", "--yes", database=empty_database).returncode == 0
    with psycopg.connect(empty_database) as connection:
        left = connection.execute("select relname::text from pg_class where relnamespace = 'worker'::regnamespace")
        assert {name for (name,) in left} <= {"schema_version", "schema_version_pkc"}
    assert command("worker", "dead", "email", database=empty_database).returncode == 2


@pytest.mark.parametrize(
    ("name", "arguments", "told"),
    [
        ("worker", ["analytics"], "worker: KAFKA_BROKERS is not set"),
        ("worker", ["email"], "worker: SMTP_HOST is not set"),
        ("worker", ["run", "nowhere"], "names no worker"),
        ("worker", ["run", "json:loads"], "not an app_integration.workers.Worker"),
        ("worker", ["replay", "email"], "say which: --id ID"),
        ("worker", ["discard", "email", "--why", "spam"], "say which: --id ID"),
        ("worker", ["discard", "email", "--all", "--why", " "], "a reason in a line"),
        ("webhook", ["replay", "1"], "say which: --dead"),
        ("webhook", ["remove", "1"], "there is no endpoint 1"),
        ("webhook", ["rotate", "1"], "there is no endpoint 1"),
        ("webhook", ["rotate", "1", "--overlap", "soon"], "--overlap is 'soon'; allowed: a whole number"),
        ("audit", ["verify", "--expect", "x"], "--expect is 'x'"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(command: Command, name: str, arguments: list[str], told: str) -> None:
    done = command(name, *arguments)
    assert (done.returncode, told in done.stderr) == (2, True), done.stderr


def test_dead_messages_are_shown_counted_and_replayed(
    topic: str, session: Connection, produce: Produce, run: Run, command: Command
) -> None:
    def reject(*_: object) -> None:
        raise Reject("never")

    ids = [produce(topic, b"a"), produce(topic, b"b")]
    with run(Worker("test", (topic,), reject)):
        wait_until(lambda: rows(session, "select count(*) from worker.held where dead_at is not null") == [(2,)])
    shown = json.loads(command("worker", "dead", "test", "--json").stdout)
    assert sorted((one["id"], one["error"]) for one in shown) == sorted((one, "never") for one in ids)
    dry = command("worker", "replay", "test", "--all", "--dry-run")
    assert dry.stdout == "2 messages of test to be handled again; nothing was changed\n"
    assert command("worker", "replay", "test", "--id", ids[0]).stdout.startswith("1 message of test handled again")
    assert command("worker", "replay", "test", "--id", ids[0]).returncode == 2
    assert command("worker", "dead", "test").stdout.endswith("1 dead messages of test\n")


def test_a_discarded_message_is_never_handled_and_it_is_known_who_discarded_it_and_why(
    topic: str, session: Connection, produce: Produce, run: Run, command: Command
) -> None:
    handled: list[str] = []

    def reject(_: object, message: Received) -> None:
        handled.append(message.id)
        if message.value == b"poison":
            raise Reject("never")

    poison, other = produce(topic, b"poison"), produce(topic, b"poison")
    with run(Worker("test", (topic,), reject)):
        wait_until(lambda: rows(session, "select count(*) from worker.held where dead_at is not null") == [(2,)])
        before = handled.count(poison)
        dry = command("worker", "discard", "test", "--all", "--why", "spam", "--dry-run")
        assert dry.stdout == "2 messages of test to be discarded; nothing was changed\n"
        done = command("worker", "discard", "test", "--id", poison, "--why", "spam")
        assert done.stdout == "1 message of test discarded\n"
        assert command("worker", "discard", "test", "--id", poison, "--why", "again").returncode == 2
        # It comes once more, as after a crash of the relay, and is passed over.
        produce(topic, b"poison", id=poison)
        last = produce(topic, b"good")
        wait_until(lambda: last in handled)
    assert handled.count(poison) == before
    ((consumer, outcome, _, error),) = way(session, poison)
    assert (consumer, outcome) == ("test", "discarded")
    assert error.startswith("discarded by ")
    assert error.endswith(": spam; it had failed: never")
    assert [one.id for one in operate.dead(session, "test")] == [other]


def test_webhooks_are_added_listed_and_disabled_and_a_private_one_is_refused(
    session: Connection, command: Command
) -> None:
    refused = command("webhook", "add", "https://127.0.0.1/")
    assert (refused.returncode, "which is loopback" in refused.stderr) == (2, True)
    added = command("webhook", "add", "http://127.0.0.1:9/", "--allow-private", "--type", "user_registered")
    assert "secret (not shown again): whsec_" in added.stdout
    assert command("webhook", "disable", "1", "--why", "test").returncode == 0
    listed = command("webhook", "list").stdout
    assert ("disabled: test" in listed, "whsec_" in listed) == (True, False)
    assert command("webhook", "enable", "1").returncode == 0
    assert endpoints.endpoints(session)[0].disabled_at is None
    rotated = command("webhook", "rotate", "1", "--overlap", "7d").stdout
    assert ("good for another 7d" in rotated, "whsec_" in rotated) == (True, True)
    session.execute("insert into worker.delivery (endpoint, ce_id, type, body) values (1, 'x', 'y.v1', '')")
    refused = command("webhook", "remove", "1")
    assert (refused.returncode, "1 deliveries for endpoint 1 are pending" in refused.stderr) == (2, True)
    assert command("webhook", "remove", "1", "--yes").stdout.endswith("and 1 deliveries with it that were not made\n")
    assert endpoints.endpoints(session) == []
    assert rows(session, "select count(*) from worker.delivery") == [(0,)]


def test_a_broken_audit_log_is_named_and_ends_with_1(session: Connection, command: Command) -> None:
    assert command("audit", "verify").stdout == "the audit log is empty\n"
    session.execute("insert into worker.audit_entry values ('main', 1, '{}', sha256('x'))")
    broken = command("audit", "verify")
    assert (broken.returncode, "chain main: BROKEN at entry 1" in broken.stdout) == (1, True)
    cut = command("audit", "verify", "--expect", "main:2:00")
    assert "chain main: entry 2 is not the one that was noted" in cut.stderr
