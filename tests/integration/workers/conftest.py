"""A database with outbox and workers' schema for each test, and ways to produce as the relay does and run workers."""

import contextlib
import threading
from collections.abc import Callable, Iterator
from typing import Any, Protocol
from uuid import uuid4

import psycopg
import pytest
from confluent_kafka import Producer

from app_integration.workers import Worker, daemon, migrate
from app_integration.workers.settings import Settings
from relay import migrate as outbox_migrate
from relay.local.postgres import Postgres
from tests import services
from tests.command import environment

Connection = psycopg.Connection[Any]

SECONDS = 60.0
"""For which anything is waited for: a busy machine takes long to have a group rebalanced."""


class Produce(Protocol):
    """Sends a message as the relay does and returns its id; headers of value None are left out."""

    def __call__(
        self, topic: str, value: bytes | None, *, key: str | None = None, id: str | None = None, **headers: str | None
    ) -> str: ...


class Run(Protocol):
    """Runs a worker in a thread until the block ends, and fails with what it raised."""

    def __call__(
        self, worker: Worker, *, beside: Any = (), **settings: Any
    ) -> contextlib.AbstractContextManager[None]: ...


@pytest.fixture(scope="session")
def template(postgres: Postgres) -> str:
    """The name of a database with the outbox and the workers' schema in it, to be copied and not used."""
    name = services.create_database(postgres)
    outbox_migrate.upgrade(postgres.url(name))
    migrate.upgrade(postgres.url(name))
    return name


@pytest.fixture
def url(postgres: Postgres, template: str) -> Iterator[str]:
    """The URL of a database of the test's own, with both."""
    name = services.create_database(postgres, template)
    yield postgres.url(name)
    services.drop_database(postgres, name)


@pytest.fixture
def session(url: str) -> Iterator[Connection]:
    """A session of the test's own there."""
    with psycopg.connect(url, autocommit=True) as connection:
        yield connection


def variables(settings: Settings, topic: str, **more: str) -> dict[str, str]:
    """The environment of a worker in a process of its own; it is soon given up when it is dead."""
    return environment(
        DATABASE_URL=settings.database_url,
        KAFKA_BROKERS=settings.kafka_brokers,
        WORKER_GROUP_PREFIX=settings.group_prefix,
        WORKER_KAFKA_SESSION_TIMEOUT_MS="6000",
        WORKER_TOPIC=topic,
        **more,
    )


@pytest.fixture
def settings(url: str, kafka_brokers: str) -> Settings:
    """What workers are told; their groups are the test's own, and a dead member's partitions are given away soon."""
    return Settings.load(
        {
            "DATABASE_URL": url,
            "KAFKA_BROKERS": kafka_brokers,
            "WORKER_GROUP_PREFIX": f"test-{uuid4().hex[:8]}-",
            "WORKER_KAFKA_SESSION_TIMEOUT_MS": "6000",
        }
    )


@pytest.fixture
def produce(kafka_brokers: str) -> Produce:
    """Produces, and waits until Kafka has it."""
    # Without a log: a broker that ends with the session is no news.
    given = {"bootstrap.servers": kafka_brokers, "partitioner": "murmur2_random", "acks": "all", "log_level": 0}
    producer = Producer(given)

    def send(
        topic: str, value: bytes | None, *, key: str | None = None, id: str | None = None, **headers: str | None
    ) -> str:
        name = id or str(uuid4())
        given: dict[str, str | None] = {"ce_id": name, "ce_specversion": "1.0", "ce_source": "/test", **headers}
        kept = [(header, text.encode()) for header, text in given.items() if text is not None]
        producer.produce(topic, value, key, headers=kept)  # type: ignore[arg-type]
        assert producer.flush(SECONDS) == 0
        return name

    return send


@pytest.fixture
def run(settings: Settings) -> Run:
    """Runs workers in this process."""

    @contextlib.contextmanager
    def running(worker: Worker, *, beside: Any = (), **changed: Any) -> Iterator[None]:
        stop, raised = threading.Event(), []

        def work() -> None:
            try:
                daemon.run(worker, settings.model_copy(update=changed), stop=stop, beside=beside)
            except BaseException as error:  # noqa: BLE001 - handed to the test
                raised.append(error)

        thread = threading.Thread(target=work, name=worker.name)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join(SECONDS)
            assert not thread.is_alive(), "the worker does not stop"
        if raised:
            raise raised[0]

    return running


def wait_until(holds: Callable[[], Any], what: str = "", seconds: float = SECONDS) -> Any:
    """Ask again and again until the answer is true, and return it."""
    pause = threading.Event()
    for _ in range(int(seconds / 0.05)):
        if answer := holds():
            return answer
        pause.wait(0.05)
    pytest.fail(f"not within {seconds:.0f} s: {what or holds}")


def rows(session: Connection, query: str, **values: Any) -> list[tuple[Any, ...]]:
    """Ask the database."""
    return session.execute(query.encode(), values).fetchall()


def way(session: Connection, one: str) -> list[tuple[Any, ...]]:
    """What became of a message: consumer, outcome, attempts, error."""
    return rows(
        session, "select consumer, outcome, attempts, error from worker.inbox where ce_id = %(id)s order by 1", id=one
    )
