"""Kafka over TLS and SASL: every client gets in, and who is turned away is told why, without a secret."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest

from tests import services
from tests.certificates import Authority
from tests.command import environment, relay
from tests.integration.secure.conftest import SecureKafka
from tests.secure import PASSWORD

WAYS: dict[str, Callable[[SecureKafka], dict[str, str]]] = {
    "PLAIN": lambda kafka: kafka.sasl("PLAIN"),
    "SCRAM-SHA-256": lambda kafka: kafka.sasl("SCRAM-SHA-256"),
    "SCRAM-SHA-512": lambda kafka: kafka.sasl("SCRAM-SHA-512"),
    "mTLS": lambda kafka: kafka.mtls(kafka.client),
}


@pytest.fixture
def secure_topic(secure_kafka: SecureKafka) -> Iterator[str]:
    admin = secure_kafka.admin
    name = services.create_topic(admin, 2, {})
    yield name
    services.delete_topics(admin, [name])


def doctor(code: int, **variables: str) -> dict[str, str]:
    """What the doctor finds of Kafka; never with the password."""
    found = relay("doctor", "--json", DATABASE_URL="postgresql://127.0.0.1:1/none", **variables)
    assert PASSWORD not in found.stdout + found.stderr
    assert found.returncode == code, found.stdout + found.stderr
    return next(finding for finding in json.loads(found.stdout)["findings"] if finding["check"] == "kafka")


@pytest.mark.parametrize("way", WAYS)
def test_the_relay_publishes_each_way_in(way: str, database: str, secure_kafka: SecureKafka, secure_topic: str) -> None:
    variables = {**WAYS[way](secure_kafka), "DATABASE_URL": database}
    with psycopg.connect(database, autocommit=True) as session:
        session.execute("select outbox.enqueue(%s, '1', key => 'k') from generate_series(1, 5)", [secure_topic])
    done = relay("drain", **variables)
    assert (done.returncode, done.stdout) == (0, "published 5 messages\n"), done.stderr
    judged = judge(secure_topic, variables)
    assert judged["messages"] == 5


def judge(topic: str, variables: dict[str, str]) -> dict[str, int]:
    command = [sys.executable, "-m", "relay.judge", "--brokers", variables["KAFKA_BROKERS"], "--topics", topic]
    done = subprocess.run(
        command, env=environment(**variables), capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, int] = json.loads(done.stdout)
    return found


def test_doctor_and_topics_get_in_too(secure_kafka: SecureKafka) -> None:
    name = f"test-{uuid4()}"
    variables = {**secure_kafka.sasl("SCRAM-SHA-512"), "RELAY_TOPICS": json.dumps({name: {"partitions": 1}})}
    made = relay("topics", "--create", "--json", **variables)
    assert json.loads(made.stdout)["created"] == [name], made.stderr
    assert doctor(1, **variables)["level"] == "ok"
    services.delete_topics(secure_kafka.admin, [name])


def wrong(kafka: SecureKafka, others: Path) -> dict[str, tuple[dict[str, str], str, str]]:
    """What is wrong, and what is said of it and of its mend."""
    unknown = {"RELAY_KAFKA_SSL_CA_LOCATION": str(others)}
    return {
        "password": (kafka.sasl("SCRAM-SHA-256", "guessed"), "uthentication failed", "check sasl.username"),
        "plain password": (kafka.sasl("PLAIN", "guessed"), "uthentication failed", "check sasl.username"),
        "expired": (kafka.tls("EXPIRED"), "certificate has expired", "renew it there"),
        "host": (kafka.tls("ELSEWHERE"), "ismatch", "name the broker as its certificate does"),
        "unknown authority": ({**kafka.sasl("PLAIN"), **unknown}, "issuer certificate", "check ssl.ca.location"),
        "client of a stranger": (kafka.mtls(kafka.stranger), "", "client certificate"),
        "client of yesterday": (kafka.mtls(kafka.late), "", "until when it is valid"),
        "no client certificate": (kafka.tls("MTLS"), "", "client certificate"),
    }


@pytest.mark.parametrize(
    "case",
    [
        "password",
        "plain password",
        "expired",
        "host",
        "unknown authority",
        "client of a stranger",
        "client of yesterday",
        "no client certificate",
    ],
)
def test_who_is_turned_away_is_told_why_and_how_to_mend_it(
    case: str, secure_kafka: SecureKafka, tmp_path: Path
) -> None:
    others = Authority(tmp_path, "others").certificate
    variables, found, mend = wrong(secure_kafka, others)[case]
    finding = doctor(2, **variables)
    assert finding["level"] == "problem"
    assert found in finding["found"], finding
    assert mend in finding["mend"], finding


def test_a_relay_that_is_turned_away_at_the_start_ends_as_a_mistake(secure_kafka: SecureKafka, database: str) -> None:
    done = relay("run", "--wait", "60", DATABASE_URL=database, **secure_kafka.sasl("SCRAM-SHA-256", "guessed-it"))
    assert done.returncode == 2
    assert "do not accept each other" in done.stderr
    assert "guessed-it" not in done.stderr


@pytest.mark.parametrize(
    ("property_", "said"),
    [
        ("RELAY_KAFKA_SSL_CA_LOCATION", "ssl.ca.location"),
        ("RELAY_KAFKA_SSL_CERTIFICATE_LOCATION", "ssl.certificate.location"),
    ],
)
def test_a_certificate_file_that_is_missing_is_a_mistake_without_any_server(property_: str, said: str) -> None:
    variables = {"RELAY_KAFKA_SECURITY_PROTOCOL": "SSL", property_: "/nowhere/ca.pem"}
    done = relay("doctor", "--settings-only", DATABASE_URL="postgresql://h/d", KAFKA_BROKERS="k:9092", **variables)
    assert done.returncode == 2
    assert said in done.stdout
