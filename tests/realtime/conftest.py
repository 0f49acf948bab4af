"""One world for all tests of real time: each has users and rooms of its own in it."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from confluent_kafka.admin import AdminClient

from app_integration.realtime.migrate import upgrade
from relay.local.postgres import Postgres
from tests import services
from tests.realtime.world import Server, World


@pytest.fixture(scope="session")
def realtime_database(postgres: Postgres, migrated: str) -> Iterator[str]:
    """A database with the outbox and the schema `realtime`."""
    name = services.create_database(postgres, migrated)
    upgrade(postgres.url(name))
    yield postgres.url(name)
    services.drop_database(postgres, name)


@pytest.fixture(scope="session")
def world(
    realtime_database: str, kafka_brokers: str, kafka_admin: AdminClient, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[World]:
    """A world with a relay."""
    topic = services.create_topic(kafka_admin, services.PARTITIONS, {})
    with ExitStack() as running:
        made = World(realtime_database, kafka_brokers, topic, Path(tmp_path_factory.mktemp("realtime")))
        running.callback(services.delete_topics, kafka_admin, [topic])
        running.callback(made.close)
        made.relay()
        yield made


@pytest.fixture(scope="session")
def servers(world: World) -> tuple[Server, Server]:
    """Two servers, which no test harms."""
    one, other = world.start_server(), world.start_server()
    assert one.url
    assert other.url
    return one, other
