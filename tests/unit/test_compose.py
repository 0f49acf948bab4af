"""The compose file and the image are what they say: valid, pinned, in the right order, and nobody is root."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from app_integration.workers.catalogue import CATALOGUE

ROOT = Path(__file__).parents[2]
SCHEMA = json.loads((ROOT / "tests/data/compose-spec.json").read_text())
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
DOCKERFILE = (ROOT / "Dockerfile").read_text()


def instructions(name: str) -> list[str]:
    return re.findall(rf"^{name}\s+(.+)$", DOCKERFILE, flags=re.MULTILINE)


def pins(name: str) -> dict[str, str]:
    text = (ROOT / name).read_text()
    return dict(re.findall(r"^([a-z0-9-]+)==(\S+)", text, flags=re.MULTILINE))


def test_compose_file_follows_the_specification() -> None:
    assert [error.message for error in Draft202012Validator(SCHEMA).iter_errors(COMPOSE)] == []


@pytest.mark.parametrize("broken", [{"services": {"a": {"imagee": "b"}}}, {"service": {}}, {"services": []}])
def test_schema_would_notice_a_mistake(broken: object) -> None:
    assert list(Draft202012Validator(SCHEMA).iter_errors(broken))


def test_official_images_are_pinned() -> None:
    assert SERVICES["kafka"]["image"] == "apache/kafka:4.1.0"
    assert SERVICES["postgres"]["image"] == "postgres:17"


def test_host_reaches_kafka_at_port_29092_and_containers_at_9092() -> None:
    kafka = SERVICES["kafka"]
    assert kafka["ports"] == ["127.0.0.1:29092:29092"]
    advertised = kafka["environment"]["KAFKA_ADVERTISED_LISTENERS"]
    assert advertised == "INTERNAL://kafka:9092,HOST://localhost:29092"
    assert SERVICES["relay"]["environment"]["KAFKA_BROKERS"] == "kafka:9092"


def test_every_service_that_stays_has_a_health_check() -> None:
    done = {name for name, service in SERVICES.items() if "healthcheck" not in service}
    assert done == {"migrate", "edu-migrate", "edu-topics"}
    assert all(SERVICES[name].get("restart") == "no" for name in done)


def test_relay_starts_after_the_migration_and_a_healthy_kafka() -> None:
    assert SERVICES["migrate"]["depends_on"] == {"postgres": {"condition": "service_healthy"}}
    assert SERVICES["relay"]["depends_on"] == {
        "migrate": {"condition": "service_completed_successfully"},
        "kafka": {"condition": "service_healthy"},
    }


def test_example_is_all_of_edu_matrix_and_starts_only_when_it_is_asked_for() -> None:
    asked = {name: service for name, service in SERVICES.items() if service.get("profiles") == ["example"]}
    assert set(SERVICES) - set(asked) == {"postgres", "kafka", "migrate", "relay"}
    commands = [service.get("command", []) for service in asked.values()]
    assert {command[1] for command in commands if command[:1] == ["worker"]} == set(CATALOGUE)
    ports = [port for service in asked.values() for port in service.get("ports", [])]
    assert sorted(ports) == [f"127.0.0.1:{port}:{port}" for port in (8000, 8001, 8025)]
    assert asked["mailpit"]["image"].startswith("axllent/mailpit:v")


def test_data_outlives_the_containers() -> None:
    kept = {volume.partition(":")[0] for service in SERVICES.values() for volume in service.get("volumes", [])}
    assert kept == set(COMPOSE["volumes"]) == {"postgres", "kafka"}


def test_relay_is_given_the_time_it_takes_to_stop() -> None:
    assert SERVICES["relay"]["stop_grace_period"] == "15s"


def test_base_images_are_pinned_to_a_release() -> None:
    bases = [base.partition(" AS ")[0] for base in instructions("FROM")]
    assert len(bases) == 2
    assert all(re.fullmatch(r"python:3\.\d+\.\d+-slim-[a-z]+", base) for base in bases)


def test_image_does_not_run_as_root() -> None:
    assert instructions("USER") == ["10001"]
    assert DOCKERFILE.rindex("\nUSER ") > DOCKERFILE.rindex("\nFROM ")


def test_relay_is_the_process_that_gets_the_signals() -> None:
    assert instructions("ENTRYPOINT") == ['["relay"]']
    assert instructions("CMD") == ['["run", "--wait=60"]']


def test_image_installs_what_was_tested() -> None:
    assert "--require-hashes" in DOCKERFILE
    tested = pins("requirements.txt")
    for name in ("requirements-runtime.txt", "requirements-example.txt", "requirements-build.txt"):
        assert pins(name).items() <= tested.items(), f"{name} is stale: make lock"


def test_everything_the_image_copies_is_sent_to_its_build() -> None:
    sent = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    copied = {path for line in instructions("COPY") if "--from" not in line for path in line.split()[:-1]}
    assert copied == sent
    assert all((ROOT / path).exists() for path in copied)
