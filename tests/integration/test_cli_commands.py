import json
import signal
import socket
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest

from relay import __version__
from relay.cli.main import exit_code
from relay.errors import (
    BrokerUnreachable,
    DatabaseUnfit,
    DatabaseUnreachable,
    LeaseLost,
    PositionsForeign,
    RelayError,
    SchemaError,
    SettingsError,
)
from tests.command import environment, relay, start

COMMANDS = (
    *(
        "migrate",
        "run",
        "drain",
        "status",
        "failed",
        "replay",
        "discard",
        "prune",
        "topics",
        "doctor",
        "rebase",
        "demo",
    ),
)
NOWHERE = {"DATABASE_URL": "postgresql://app:geheim@127.0.0.1:1/shop", "KAFKA_BROKERS": "127.0.0.1:1"}


def modules_after(statement: str) -> set[str]:
    """Return the modules that a new process has imported after a statement."""
    program = f"{statement}\nimport sys\nprint(*sys.modules)"
    found = subprocess.run(
        [sys.executable, "-c", program], env=environment(), check=True, capture_output=True, text=True
    )
    return set(found.stdout.split())


def test_help_names_every_command_and_the_exit_codes() -> None:
    found = relay("--help")
    assert found.returncode == 0
    assert all(command in found.stdout for command in COMMANDS)
    assert "0 done, 1 the work failed, 2 your mistake" in " ".join(found.stdout.split())


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(command: str) -> None:
    found = relay(command, "--help")
    assert found.returncode == 0
    assert f"relay {command}" in found.stdout


def test_the_version_is_told() -> None:
    assert relay("--version").stdout == f"relay {__version__}\n"


def test_help_imports_neither_database_nor_kafka_clients() -> None:
    assert not modules_after("import relay.cli.main") & {
        "psycopg",
        "confluent_kafka",
        "sqlalchemy",
        "alembic",
        "pydantic",
    }


def test_a_running_relay_carries_no_migration_tools() -> None:
    assert not modules_after(
        "import relay.cli.main, relay.daemon, relay.telemetry.logs, relay.configuration.settings"
    ) & {
        "sqlalchemy",
        "alembic",
        "relay.migrate",
    }


def test_a_running_relay_carries_nothing_that_it_was_not_asked_for() -> None:
    assert not modules_after("import relay.daemon, relay.telemetry.logs, relay.watching.watch") & {
        "rich",
        "typer",
        "opentelemetry.trace",
        "relay.tracing.spans",
    }


@pytest.mark.parametrize(
    "arguments",
    [
        ("frobnicate",),
        ("run", "--wait", "soon"),
        ("run", "--wait", "-1"),
        ("migrate", "--check", "--down"),
        ("migrate", "--check", "--shards", "4"),
        ("migrate", "--shards", "0"),
        ("replay", "--yes", "--why", "x"),
        ("discard", "--all", "--topic", "t"),
        ("failed", "--limit", "few"),
    ],
)
def test_a_wrong_call_is_exit_code_2(arguments: tuple[str, ...]) -> None:
    assert relay(*arguments, **NOWHERE).returncode == 2


@pytest.mark.parametrize("command", ["run", "drain", "status", "prune", "doctor", "migrate", "failed"])
def test_a_missing_setting_is_exit_code_2_and_named(command: str) -> None:
    found = relay(command)
    assert found.returncode == 2
    assert "relay: DATABASE_URL is not set" in found.stderr


def test_a_setting_that_breaks_a_promise_stops_the_relay() -> None:
    found = relay("run", **NOWHERE, RELAY_KAFKA_ACKS="1", RELAY_KAFKA_ENABLE_IDEMPOTENCE="false")
    assert found.returncode == 2
    assert "RELAY_KAFKA_ACKS guards a promise" in found.stderr
    assert "RELAY_KAFKA_ENABLE_IDEMPOTENCE guards a promise" in found.stderr


def test_the_config_option_names_the_file(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text("[relay]\npage_rows = 0\n")
    found = relay("--config", str(file), "status", **NOWHERE)
    assert found.returncode == 2
    assert f"{file}: [relay] page_rows is 0; allowed: a whole number from 1 to 100000" in found.stderr


@pytest.mark.parametrize("command", ["run", "drain", "status", "prune", "migrate", "failed"])
def test_a_database_that_does_not_answer_is_exit_code_1_without_its_password(command: str) -> None:
    found = relay(command, **NOWHERE)
    assert found.returncode == 1
    assert "127.0.0.1:1/shop does not answer" in found.stderr
    assert "geheim" not in found.stderr


def test_a_broker_that_does_not_answer_is_exit_code_1(database: str) -> None:
    found = relay("run", DATABASE_URL=database, KAFKA_BROKERS="127.0.0.1:1")
    assert found.returncode == 1
    assert "kafka at 127.0.0.1:1 does not answer" in found.stderr


def test_wait_tries_again_with_a_clear_line_and_then_gives_up() -> None:
    found = relay("run", "--wait", "3", **NOWHERE)
    assert found.returncode == 1
    assert found.stderr.count("does not answer") >= 3


def test_ctrl_c_is_exit_code_130() -> None:
    """A server that accepts and never answers keeps `status` waiting; the accepted connection is the signal."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"postgresql://app@127.0.0.1:{silent.getsockname()[1]}/shop"
        with start("status", DATABASE_URL=url) as process, silent.accept()[0]:
            process.send_signal(signal.SIGINT)
            _, errors = process.communicate(timeout=10)
    assert process.returncode == 130
    assert "Traceback" not in errors


def test_migrate_makes_checks_and_removes_the_schema(empty_database: str) -> None:
    missing = relay("migrate", "--check", DATABASE_URL=empty_database)
    assert (missing.returncode, missing.stdout) == (2, "")
    assert "relay migrate" in missing.stderr
    assert relay("migrate", "--shards", "4", DATABASE_URL=empty_database).returncode == 0
    assert relay("migrate", "--check", DATABASE_URL=empty_database).returncode == 0
    assert len(json.loads(relay("status", "--json", DATABASE_URL=empty_database).stdout)["shards"]) == 4
    assert relay("migrate", "--down", DATABASE_URL=empty_database).returncode == 0
    assert relay("migrate", "--check", DATABASE_URL=empty_database).returncode == 2


def test_migrate_prints_its_sql_without_a_database() -> None:
    found = relay("migrate", "--sql", "--shards", "8")
    assert found.returncode == 0
    assert "create table outbox.message" in found.stdout


def test_drain_publishes_everything_and_says_how_much(database: str, kafka_brokers: str, topic: str) -> None:
    with psycopg.connect(database) as writer:
        writer.execute(
            "insert into outbox.message (topic, key) select %s, n::text from generate_series(1, 500) n", [topic]
        )
    found = relay("drain", DATABASE_URL=database, KAFKA_BROKERS=kafka_brokers)
    assert (found.returncode, found.stdout) == (0, "published 500 messages\n")
    assert json.loads(relay("status", "--json", DATABASE_URL=database).stdout)["pending"] == 0


@pytest.mark.parametrize("error", [SettingsError, SchemaError, DatabaseUnfit, PositionsForeign])
def test_mistakes_are_exit_code_2(error: type[RelayError]) -> None:

    assert exit_code(error("")) == 2


@pytest.mark.parametrize("error", [DatabaseUnreachable, BrokerUnreachable, LeaseLost])
def test_failed_work_is_exit_code_1(error: type[RelayError]) -> None:

    assert exit_code(error("")) == 1
