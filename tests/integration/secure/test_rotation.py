"""A password that is rotated under a running relay: it says that it is turned away, and takes the new one by itself."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from tests import services
from tests.faults.world import World, wait_until, world
from tests.integration.secure.conftest import SecureKafka, SecurePostgres
from tests.integration.test_http_port import ask, until_ready, url_of
from tests.secure import PASSWORD

ROTATED = "sund-9-Basalt"


def secret(path: Path, text: str) -> Path:
    path.touch(mode=0o600)
    path.write_text(f"{text}\n")
    return path


@pytest.fixture
def secure_world(
    secure_kafka: SecureKafka, secure_postgres: SecurePostgres, secure_database: str, tmp_path: Path
) -> Iterator[World]:
    admin = secure_kafka.admin
    topic = services.create_topic(admin, 2, {})
    with world(secure_postgres.owner(secure_database), secure_kafka.kafka.brokers, topic, tmp_path) as made:
        yield made
    services.delete_topics(admin, [topic])
    secure_kafka.set_password(PASSWORD)


def says(url: str, words: str) -> bool:
    code, _, text = ask(f"{url}/readyz")
    return code == 503 and words in text


def test_passwords_that_are_rotated_are_taken_without_a_restart(
    secure_kafka: SecureKafka,
    secure_postgres: SecurePostgres,
    secure_database: str,
    secure_world: World,
    tmp_path: Path,
) -> None:
    password = secret(tmp_path / "password", PASSWORD)
    database = secret(tmp_path / "url", secure_postgres.url(secure_database))
    process = secure_world.relay(
        "one",
        **secure_kafka.brief(password),
        # Beside the file it would be a contradiction.
        DATABASE_URL="",
        DATABASE_URL_FILE=str(database),
        RELAY_HTTP_PORT="0",
        RELAY_TAKEOVER_SECONDS="5",
    )
    url = url_of(process)
    until_ready(url)
    with secure_world.judged() as judge:
        secure_world.enqueue(1)
        judge.arrived(1)

        secure_kafka.set_password(ROTATED)
        why = partial(ask, f"{url}/readyz")

        def turned_away() -> bool:
            # What is sent before the relay must prove again who it is, still arrives.
            secure_world.enqueue(1)
            return says(url, "kafka and the relay do not accept each other")

        wait_until(turned_away, 60, lambda: why()[2])
        secret(password, ROTATED)
        until_ready(url)

        with psycopg.connect(secure_postgres.server.url(), autocommit=True) as administrator:
            change = sql.SQL("alter role relay password {}")
            administrator.execute(change.format(ROTATED))
            try:
                ended = "select count(pg_terminate_backend(pid)) from pg_stat_activity where usename = 'relay'"
                administrator.execute(ended)
                wait_until(partial(says, url, "password authentication failed"), 30, lambda: why()[2])
                secret(database, secure_postgres.url(secure_database, password=ROTATED))
                secure_world.enqueue(1)
                until_ready(url)
                found = judge.verdict()
            finally:
                administrator.execute(change.format(PASSWORD))
    assert (found.lost, found.out_of_order) == (0, 0)
    assert process.terminate() == 0
    assert not any(process.said(word) for word in (PASSWORD, ROTATED))
