"""What is routed where, what of it exists in Kafka, and making what is missing. Never alters a topic that exists.

The whole list of topics is asked for, never one by name: asking a broker for a topic may create it
(`auto.create.topics.enable`).
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import (  # type: ignore[attr-defined] # public, but not re-exported for type checkers
    AdminClient,
    ConfigResource,
    NewTopic,
    ResourceType,
)

from relay.configuration.settings import Settings, Topic
from relay.errors import BrokerUnreachable, SettingsError, WorkFailed
from relay.publishing.broker import PATIENCE, Admin, admin, metadata

BROKER_DEFAULT = -1
"""In a request to create a topic: the broker's own number of partitions or replicas (KIP-464)."""

VISIBLE_SECONDS = 10.0
"""How long a topic that was created may take until every broker knows it."""


@dataclass(frozen=True, slots=True)
class TopicState:
    """A listed logical topic: what was configured (None: the broker's default), and what Kafka has.

    `differences` says in words where they part.
    """

    logical: str
    name: str
    exists: bool
    partitions: int | None
    replication: int | None
    configured_partitions: int | None
    configured_replication: int | None
    config: Mapping[str, str]
    """Kafka's settings of the topic as they are in force; empty when it does not exist."""
    differences: Sequence[str]

    def as_json(self) -> dict[str, Any]:
        """Return the same as JSON values."""
        return asdict(self)


def read(settings: Settings) -> list[TopicState]:
    """Look up every listed topic.

    Raises:
        BrokerUnreachable: Kafka does not answer.
        SettingsError: librdkafka refuses the properties.
    """
    client = admin(settings)
    found = metadata(client, settings).topics
    existing = sorted({topic.name for topic in settings.topics.values()} & found.keys())
    configs = _configs(client, existing)
    return [_state(logical, topic, found, configs) for logical, topic in sorted(settings.topics.items())]


def create(settings: Settings) -> list[str]:
    """Make the listed topics that Kafka does not have, with the configured partitions, replication and settings.

    Returns:
        The names of those that were made, in Kafka.

    Raises:
        SettingsError: two logical topics share a name but not what it should be created with.
        WorkFailed: Kafka refused some; the text names each with the reason. The others were made.
        BrokerUnreachable: Kafka does not answer.
    """
    wanted = _wanted(settings)
    client = admin(settings)
    missing = sorted(wanted.keys() - metadata(client, settings).topics.keys())
    if not missing:
        return []
    made = client.create_topics([_new(name, wanted[name]) for name in missing], operation_timeout=VISIBLE_SECONDS)
    refusals = []
    for name, future in made.items():
        try:
            future.result()
        except KafkaException as error:
            # Somebody else was quicker: it is there, which is all that was asked.
            if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                refusals.append(f"topic {name} was not created: {error.args[0].str()}")
    if refusals:
        raise WorkFailed("\n".join(refusals))
    _await_visible(client, settings, missing)
    return missing


def _wanted(settings: Settings) -> dict[str, Topic]:
    """Return what each topic in Kafka should be created with."""
    wanted: dict[str, Topic] = {}
    for logical, topic in settings.topics.items():
        if _creation(wanted.setdefault(topic.name, topic)) != _creation(topic):
            raise SettingsError(
                f"[topics.{logical}] shares the topic {topic.name} with another, but they differ in partitions, "
                "replication or config: make them equal"
            )
    return wanted


def _creation(topic: Topic) -> tuple[object, ...]:
    return topic.partitions, topic.replication, topic.config


def _new(name: str, topic: Topic) -> NewTopic:
    return NewTopic(
        name,
        num_partitions=topic.partitions or BROKER_DEFAULT,
        replication_factor=topic.replication or BROKER_DEFAULT,
        config=dict(topic.config),
    )


def _await_visible(client: Admin, settings: Settings, names: Sequence[str]) -> None:
    """Wait until the brokers' metadata has the topics: the controller answers before the brokers know."""
    deadline = time.monotonic() + VISIBLE_SECONDS
    while absent := set(names) - metadata(client, settings).topics.keys():
        if time.monotonic() > deadline:
            raise WorkFailed(f"created, but after {VISIBLE_SECONDS:.0f} s no broker shows: {', '.join(sorted(absent))}")
        time.sleep(0.1)


def _configs(client: AdminClient, names: Sequence[str]) -> dict[str, dict[str, str]]:
    """Read the settings in force of some topics; those that the role may not describe are left out."""
    if not names:
        return {}
    futures = client.describe_configs(
        [ConfigResource(ResourceType.TOPIC, name) for name in names], request_timeout=PATIENCE
    )
    found = {}
    for resource, future in futures.items():
        try:
            entries = future.result()
        except KafkaException as error:
            if error.args[0].code() != KafkaError.TOPIC_AUTHORIZATION_FAILED:
                raise BrokerUnreachable(f"kafka did not describe its topics: {error.args[0].str()}") from None
        else:
            found[resource.name] = {name: entry.value for name, entry in entries.items() if entry.value is not None}
    return found


def _state(
    logical: str, topic: Topic, found: Mapping[str, Any], configs: Mapping[str, Mapping[str, str]]
) -> TopicState:
    actual = found.get(topic.name)
    partitions = len(actual.partitions) if actual else None
    replication = min((len(p.replicas) for p in actual.partitions.values()), default=None) if actual else None
    config = configs.get(topic.name, {})
    return TopicState(
        logical,
        topic.name,
        actual is not None,
        partitions,
        replication,
        topic.partitions,
        topic.replication,
        config,
        differences(topic, partitions, replication, config) if actual else [],
    )


def differences(topic: Topic, partitions: int | None, replication: int | None, config: Mapping[str, str]) -> list[str]:
    """Say where an existing topic is not as configured; pure."""
    pairs = [
        ("partitions", topic.partitions, partitions),
        ("replication", topic.replication, replication),
        *((name, value, config[name]) for name, value in topic.config.items() if name in config),
    ]
    return [
        f"{name} is {actual}, configured is {wanted}"
        for name, wanted, actual in pairs
        if wanted is not None and str(wanted) != str(actual)
    ]
