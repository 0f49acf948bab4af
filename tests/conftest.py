"""A real PostgreSQL and a real Kafka for the session, and for each test databases and topics of its own.

A test that crashes, pauses or stops a server starts one for itself, with `own_postgres` or `own_kafka`: those
of the session are shared. All files are below `.cache` of the project and are removed when the session ends.
"""

import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from types import MappingProxyType
from typing import Protocol

import pytest
from confluent_kafka.admin import AdminClient

from relay import migrate
from relay.local.jars import cache_folder
from relay.local.kafka import Kafka
from relay.local.postgres import Postgres
from tests import services
from tests.faults.world import World, world

# One download of Kafka serves the tests and the programs that they start, wherever those run.
os.environ.setdefault("RELAY_CACHE", str(services.REPOSITORY / ".cache"))

SETTINGS = MappingProxyType({"max_prepared_transactions": "20"})
NOTHING: Mapping[str, str] = MappingProxyType({})


class OwnPostgres(Protocol):
    """Starts a PostgreSQL; `settings` are those of `postgresql.conf`, above the session's.

    As a standby, when it is said which server it `follows`.
    """

    def __call__(
        self,
        binaries: Path | None = None,
        *,
        settings: Mapping[str, str] = NOTHING,
        follows: Postgres | None = None,
    ) -> Postgres: ...


class OwnKafka(Protocol):
    """Starts a broker; `host` is the address of this machine that clients use."""

    def __call__(self, host: str = "127.0.0.1") -> Kafka: ...


class MakeTopic(Protocol):
    """Creates a topic, with Kafka's own settings of topics in `config`, and returns its name."""

    def __call__(self, *, partitions: int = services.PARTITIONS, config: Mapping[str, str] = NOTHING) -> str: ...


@pytest.fixture(scope="session")
def services_folder() -> Iterator[Path]:
    """Where the servers of this run have their files."""
    with services.session_folder(cache_folder()) as folder:
        yield folder


@pytest.fixture(scope="session")
def postgres(services_folder: Path) -> Iterator[Postgres]:
    """The session's PostgreSQL, the newest that is installed."""
    with ExitStack() as running:
        yield services.start_postgres(running, services_folder / "postgres", None, SETTINGS)


@pytest.fixture(scope="session")
def migrated(postgres: Postgres) -> str:
    """The name of a database with the outbox in it, to be copied and not used."""
    name = services.create_database(postgres)
    migrate.upgrade(postgres.url(name))
    return name


@pytest.fixture
def empty_database(postgres: Postgres) -> Iterator[str]:
    """The URL of a database of the test's own with nothing in it."""
    name = services.create_database(postgres)
    yield postgres.url(name)
    services.drop_database(postgres, name)


@pytest.fixture
def database(postgres: Postgres, migrated: str) -> Iterator[str]:
    """The URL of a database of the test's own with the outbox in it."""
    name = services.create_database(postgres, migrated)
    yield postgres.url(name)
    services.drop_database(postgres, name)


@pytest.fixture
def own_postgres(services_folder: Path) -> Iterator[OwnPostgres]:
    """Starts servers that the test may crash: `own_postgres(settings={"max_prepared_transactions": "0"})`."""
    with ExitStack() as running:

        def start(
            binaries: Path | None = None,
            *,
            settings: Mapping[str, str] = NOTHING,
            follows: Postgres | None = None,
        ) -> Postgres:
            folder = services.new_folder(services_folder, "postgres")
            return services.start_postgres(running, folder, binaries, {**SETTINGS, **settings}, follows)

        yield start


@pytest.fixture(scope="session")
def kafka_brokers(services_folder: Path) -> Iterator[str]:
    """KAFKA_BROKERS, else one Kafka for the session: its start keeps two cores busy for seconds."""
    with ExitStack() as running:
        given = os.environ.get("KAFKA_BROKERS")
        yield given or services.start_kafka(running, services_folder / "kafka").brokers


@pytest.fixture
def own_kafka(services_folder: Path) -> Iterator[OwnKafka]:
    """Starts brokers that the test may kill, pause and stop."""
    with ExitStack() as running:

        def start(host: str = "127.0.0.1") -> Kafka:
            return services.start_kafka(running, services.new_folder(services_folder, "kafka"), host=host)

        yield start


@pytest.fixture(scope="session")
def strict_kafka(services_folder: Path) -> Iterator[Kafka]:
    """A Kafka that makes no topic by itself, and where access can be denied."""
    properties = {
        "auto.create.topics.enable": "false",
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "allow.everyone.if.no.acl.found": "true",
        "super.users": "User:admin",
    }
    with ExitStack() as running:
        yield services.start_kafka(running, services_folder / "strict-kafka", properties)


@pytest.fixture(scope="session")
def kafka_admin(kafka_brokers: str) -> AdminClient:
    """An administrator's connection to the session's Kafka."""
    return AdminClient({"bootstrap.servers": kafka_brokers})


@pytest.fixture
def make_topic(kafka_admin: AdminClient) -> Iterator[MakeTopic]:
    """Creates topics, deleted afterwards: `make_topic(partitions=1, config={"max.message.bytes": "999"})`."""
    names: list[str] = []

    def make(*, partitions: int = services.PARTITIONS, config: Mapping[str, str] = NOTHING) -> str:
        names.append(services.create_topic(kafka_admin, partitions, config))
        return names[-1]

    yield make
    services.delete_topics(kafka_admin, names)


@pytest.fixture
def topic(make_topic: MakeTopic) -> str:
    """The name of a topic of the test's own, with 4 partitions."""
    return make_topic()


@pytest.fixture
def here(database: str, kafka_brokers: str, topic: str, tmp_path: Path) -> Iterator[World]:
    """Relays, a judge and a topic over a database of the test's own."""
    with world(database, kafka_brokers, topic, tmp_path) as made:
        yield made
