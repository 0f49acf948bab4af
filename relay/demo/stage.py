"""Where the demo happens: PostgreSQL and Kafka, a database and topics that are its own alone.

Servers that `DATABASE_URL` and `KAFKA_BROKERS` name are used, and nothing on them but what was made here is
touched: a database and topics with names of their own, removed at the end. Else throwaway servers are started
in the folder.
"""

import os
import uuid
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

from confluent_kafka import KafkaException

from relay import migrate, migrate_session
from relay.configuration import loading
from relay.configuration.kafka_properties import VARIABLE
from relay.configuration.settings import Settings
from relay.connection import where
from relay.local.database import own_database
from relay.local.kafka import Kafka, KafkaUnavailable, MockKafka
from relay.local.postgres import Postgres
from relay.publishing import topics
from relay.publishing.broker import admin

LOGICAL_TOPICS = ("business-events", "email-queue", "audit-logs", "notification-queue", "analytics-events")
PARTITIONS = 4

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Stage:
    """What the actors need to know."""

    folder: Path
    database_url: str
    brokers: str
    topics: tuple[str, ...]
    """The names in Kafka of `LOGICAL_TOPICS`."""
    config: Path
    """The `relay.toml` that routes them."""
    imitated: bool
    """Whether the broker is only an imitation."""
    security: Mapping[str, str]
    """The user's `RELAY_KAFKA_…` variables, where the Kafka is the user's own."""


def build(folder: Path, stack: ExitStack, say: Say) -> Stage:
    """Start or find the servers, make the database and the topics; `stack` takes everything down again.

    Args:
        folder: where throwaway servers keep their files.
        stack: left when the demo is over.
        say: is told what is being done.

    Raises:
        RelayError: something cannot be had; the text says what to mend.
    """
    own = f"relay-demo-{uuid.uuid4().hex[:8]}"
    database_url = _database(folder, own.replace("-", "_"), stack, say)
    migrate.upgrade(database_url, roles=False)
    given = os.environ.get("KAFKA_BROKERS")
    brokers, imitated = (given, False) if given else _kafka(folder, stack, say)
    names = tuple(f"{own}-{name}" if given else name for name in LOGICAL_TOPICS)
    config = _config(folder, names)
    security = {name: value for name, value in os.environ.items() if given and name.startswith(VARIABLE)}
    security.pop("RELAY_KAFKA_BROKERS", None)
    ours = loading.load({**security, "RELAY_KAFKA_BROKERS": brokers}, config_file=config, needs=("kafka_brokers",))
    if given:
        say(f"using Kafka at {given}, in topics {own}-*, which are deleted at the end")
        stack.callback(_delete_topics, ours, names)
    if not imitated:  # the imitation has no request for it; it makes a topic when it is written to
        topics.create(ours)
    return Stage(folder, database_url, brokers, names, config, imitated, security)


def _database(folder: Path, own: str, stack: ExitStack, say: Say) -> str:
    given = os.environ.get("DATABASE_URL")
    if given:
        say(f"using PostgreSQL at {where(migrate_session.libpq_url(given))}, in database {own}, dropped at the end")
        return own_database(migrate_session.libpq_url(given), own, stack)
    say("starting PostgreSQL")
    server = Postgres(folder / "postgres")
    stack.callback(server.close)
    server.start()
    return server.url()


def _kafka(folder: Path, stack: ExitStack, say: Say) -> tuple[str, bool]:
    """Start a Kafka; return its address and whether it is only an imitation."""
    say("starting Kafka (the first time its jars, 43 MB, are downloaded)")
    try:
        server = Kafka(folder / "kafka")
    except KafkaUnavailable as missing:
        say(f"no Kafka can be had here: {missing}")
        say("falling back to the imitation in librdkafka: it never fails, so the verdict proves less")
        imitation = MockKafka()
        stack.callback(lambda: imitation)  # it lives as long as somebody refers to it
        return imitation.brokers, True
    stack.callback(server.close)
    server.start()
    return server.brokers, False


def _config(folder: Path, names: tuple[str, ...]) -> Path:
    tables = (
        f'[topics."{logical}"]\nname = "{name}"\npartitions = {PARTITIONS}\n'
        for logical, name in zip(LOGICAL_TOPICS, names, strict=True)
    )
    config = folder / "relay.toml"
    config.write_text("\n".join(tables))
    return config


def _delete_topics(ours: Settings, names: tuple[str, ...]) -> None:
    client = admin(ours)
    for future in client.delete_topics(list(names)).values():
        with suppress(KafkaException):  # one that was never made, for we were interrupted before
            future.result(10)
