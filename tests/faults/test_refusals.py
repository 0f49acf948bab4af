"""Kafka refuses a message or its topic: the relay says whose fault it is and how to mend it, and loses nothing."""

import psycopg
from confluent_kafka.admin import (  # type: ignore[attr-defined]
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    ResourceType,
)

from tests.conftest import MakeTopic
from tests.faults.world import World, wait_until

Settings = dict[str, str]


def change(admin: AdminClient, topic: str, settings: Settings) -> None:
    """Change a topic's settings in Kafka."""
    entries = [
        ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET) for name, value in settings.items()
    ]
    resource = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=entries)
    for done in admin.incremental_alter_configs([resource]).values():
        done.result(30)


def enqueue_without_key(here: World, topic: str) -> None:
    with psycopg.connect(here.database_url) as connection:
        connection.execute("insert into outbox.message (topic, payload) values (%s, 'no key')", (topic,))


def test_message_without_a_key_for_a_compacted_topic_is_named_with_its_mend(
    here: World, make_topic: MakeTopic, kafka_admin: AdminClient
) -> None:
    compacted = make_topic(config={"cleanup.policy": "compact"})
    with here.judged() as judge:
        one = here.relay("one", RELAY_RETRY_LONGEST_SECONDS="2")
        enqueue_without_key(here, compacted)
        for number in range(40):
            here.enqueue(1, key=f"locked-{number}")
        wait_until(lambda: one.said("was refused, INVALID_RECORD"), 20)
        assert one.said("a compacted topic takes no message without a key")
        judge.arrived(40)
        change(kafka_admin, compacted, {"cleanup.policy": "delete"})
        wait_until(lambda: here.states(compacted) == {"sent": 1}, 20)
        assert not judge.verdict().broken


def test_topic_that_shrank_below_its_backlog_loses_nothing_and_goes_on_once_it_has_grown(
    here: World, kafka_admin: AdminClient
) -> None:
    with here.judged() as judge:
        here.enqueue(20, payload=b"x" * 5_000)
        change(kafka_admin, here.topic, {"max.message.bytes": "1000", "compression.type": "uncompressed"})
        one = here.relay("one", RELAY_KAFKA_COMPRESSION_TYPE="none", RELAY_RETRY_LONGEST_SECONDS="2")
        wait_until(lambda: one.said("was refused, MSG_SIZE_TOO_LARGE"), 20)
        assert one.said("raise the topic's max.message.bytes")
        assert here.states() == {"retrying": 1, "blocked": 19}
        change(kafka_admin, here.topic, {"max.message.bytes": "100000"})
        wait_until(lambda: here.states() == {"sent": 20}, 20)
        assert not judge.verdict().broken
