"""What importing the application's side costs: SQLAlchemy, and next to nothing else."""

import json
import subprocess
import sys

import pytest

import app_integration

RELAY = {"relay", "relay.schema", "relay.revision", "relay.errors"}
"""`relay.schema` and the two leaves that it stands on."""


def modules_after(statement: str) -> set[str]:
    code = f"{statement}; import sys, json; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    return set(json.loads(done.stdout))


def test_enqueueing_loads_no_kafka_client_no_pydantic_and_no_driver() -> None:
    loaded = modules_after("from app_integration import enqueue, enqueue_many, NewMessage, Outbox")
    roots = {name.partition(".")[0] for name in loaded}
    assert "sqlalchemy" in roots
    assert roots.isdisjoint({"confluent_kafka", "pydantic", "psycopg", "asyncpg", "alembic", "typer", "rich", "pytest"})
    assert roots.isdisjoint({"socketio", "engineio", "uvicorn", "psycopg_pool", "jwt"})
    assert not [name for name in loaded if name.startswith("app_integration.realtime")]
    assert {name for name in loaded if name.startswith("relay")} <= RELAY
    assert not [name for name in loaded if name.startswith("app_integration.workers")]


def test_beyond_sqlalchemy_only_a_few_modules_are_loaded() -> None:
    base = modules_after("import sqlalchemy.orm, sqlalchemy.dialects.postgresql.psycopg")
    ours = modules_after("from app_integration import enqueue")
    foreign = {name for name in ours - base if not name.startswith(("app_integration", "relay"))}
    assert len(foreign) < 20, sorted(foreign)


def test_the_pytest_plugin_loads_nothing_but_pytest() -> None:
    added = modules_after("import app_integration.pytest_plugin") - modules_after("import pytest")
    assert added == {"app_integration", "app_integration.pytest_plugin"}


def test_every_exported_name_is_there() -> None:
    for name in app_integration.__all__:
        assert getattr(app_integration, name).__module__.startswith("app_integration") or name == "Payload"


def test_an_unknown_name_is_refused_as_by_any_module() -> None:
    with pytest.raises(AttributeError, match="no attribute 'publish'"):
        _ = app_integration.publish
