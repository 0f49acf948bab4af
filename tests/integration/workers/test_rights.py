"""The rights in Kafka that the docs list for a worker and a real-time server are all that they need."""

import asyncio
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import (  # type: ignore[attr-defined]
    AclBinding,
    AclOperation,
    AclPermissionType,
    AdminClient,
    NewTopic,
    ResourcePatternType,
    ResourceType,
)

from app_integration.realtime.ephemeral import Ephemeral
from app_integration.realtime.records import Kind, Record
from app_integration.realtime.settings import Settings as RealTime
from app_integration.realtime.topic import Topic
from app_integration.workers import Reject, Worker
from app_integration.workers.settings import Settings
from relay.local.kafka import Kafka
from tests.integration.workers.conftest import SECONDS, Connection, Run, rows, wait_until

READ, WRITE, DESCRIBE = AclOperation.READ, AclOperation.WRITE, AclOperation.DESCRIBE
Allow = Callable[..., None]


@pytest.fixture
def admin(strict_kafka: Kafka) -> AdminClient:
    return AdminClient({"bootstrap.servers": strict_kafka.brokers, "log_level": 0})


@pytest.fixture
def allow(admin: AdminClient) -> Allow:
    """Allow some operations on something to everybody here, and with that everything else on it to nobody."""

    def allowing(kind: ResourceType, name: str, *operations: AclOperation, prefixed: bool = False) -> None:
        pattern = ResourcePatternType.PREFIXED if prefixed else ResourcePatternType.LITERAL
        rules = [
            AclBinding(kind, name, pattern, "User:ANONYMOUS", "*", operation, AclPermissionType.ALLOW)
            for operation in operations
        ]
        for made in admin.create_acls(rules).values():
            made.result(SECONDS)

    return allowing


def new_topic(admin: AdminClient, *suffixes: str) -> str:
    name = f"rights-{uuid4().hex[:8]}"
    for made in admin.create_topics([NewTopic(f"{name}{suffix}", 1, 1) for suffix in ("", *suffixes)]).values():
        made.result(SECONDS)
    return name


def test_a_worker_reads_its_topic_and_its_group_and_writes_dead_letters_and_may_do_no_more(
    strict_kafka: Kafka,
    admin: AdminClient,
    allow: Allow,
    session: Connection,
    run: Run,
    settings: Settings,
    caplog: pytest.LogCaptureFixture,
) -> None:
    topic = new_topic(admin, ".dead")
    producer = Producer({"bootstrap.servers": strict_kafka.brokers, "log_level": 0})
    for value in (b"poison", b"good"):
        producer.produce(topic, value, headers={"ce_id": value.decode()})
    assert producer.flush(SECONDS) == 0
    allow(ResourceType.TOPIC, topic, READ, DESCRIBE)
    allow(ResourceType.GROUP, f"{settings.group_prefix}rights", READ)
    allow(ResourceType.TOPIC, f"{topic}.dead", DESCRIBE)

    def handle(_: object, message: Any) -> None:
        if message.value == b"poison":
            raise Reject("never")

    with run(Worker("rights", (topic,), handle, batch=1), kafka_brokers=strict_kafka.brokers):
        # A letter may not be written yet: the worker waits, and nothing is dead or lost.
        wait_until(lambda: "no dead letter could be sent" in caplog.text)
        assert rows(session, "select count(*) from worker.inbox") == [(0,)]
        allow(ResourceType.TOPIC, f"{topic}.dead", WRITE)
        ways = "select ce_id, outcome from worker.inbox order by 1"
        wait_until(lambda: rows(session, ways) == [("good", "handled"), ("poison", "dead")])


def test_a_real_time_server_reads_and_writes_its_topic_and_may_do_no_more(
    strict_kafka: Kafka, admin: AdminClient, allow: Allow
) -> None:
    topic = new_topic(admin)
    allow(ResourceType.TOPIC, topic, READ, WRITE, DESCRIBE)
    # Of its group, which librdkafka demands and nobody uses, it may do nothing that it would need to join.
    allow(ResourceType.GROUP, "realtime-", AclOperation.DELETE, prefixed=True)
    settings = RealTime("", strict_kafka.brokers, "", topic=topic)

    async def talk() -> list[Record]:
        reader, sender = Topic(settings, asyncio.get_running_loop()), Ephemeral(settings)
        await asyncio.to_thread(reader.open)
        sender.send(Record(Kind.TYPING, "course:1", {"n": 1}))
        try:
            return await asyncio.wait_for(reader.batch(), SECONDS)
        finally:
            sender.close()
            await reader.close()

    assert [record.body for record in asyncio.run(talk())] == [{"n": 1}]
