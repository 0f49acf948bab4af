"""A server whose Kafka clients lost Kafka for good makes new ones and goes on where it was.

As librdkafka's may when a broker that has just started tells them of topics and of no broker.
"""

import asyncio
import threading
import time
from itertools import count
from typing import Any

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition

from app_integration.realtime import ephemeral, topic
from app_integration.realtime.ephemeral import Ephemeral
from app_integration.realtime.records import Kind, Record, decode
from app_integration.realtime.settings import Settings
from app_integration.realtime.topic import Topic
from tests.conftest import MakeTopic

NOWHERE: dict[str, Any] = {"bootstrap.servers": "127.0.0.1:1", "log_level": 0}
ROOMS = ("course:a", "course:b", "course:c")
SECONDS = 60.0


@pytest.fixture
def settings(kafka_brokers: str, make_topic: MakeTopic) -> Settings:
    """What the parts of a server that know Kafka need; the database is none of theirs."""
    return Settings("", kafka_brokers, "", topic=make_topic(partitions=3))


def test_a_topic_whose_client_lost_kafka_for_good_is_read_on_where_it_was(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("REFRESH_SECONDS", "AGAIN_SECONDS", "ANSWER_SECONDS"):
        monkeypatch.setattr(topic, name, 0.3)
    write(settings, range(-10, 0))  # before the server starts: not for it

    async def read() -> None:
        reader = Topic(settings, asyncio.get_running_loop())
        await asyncio.to_thread(reader.open)
        write(settings, range(100))
        seen: list[Record] = []
        await read_on(reader, seen, 100)
        hearing, deaf = reader._consumer, Consumer({**NOWHERE, "group.id": "deaf"})
        reader._consumer = deaf
        write(settings, range(100, 200))
        await read_on(reader, seen, 200)
        write(settings, range(200, 300))
        await read_on(reader, seen, 300)
        assert reader._consumer not in {hearing, deaf}
        await reader.close()
        hearing.close()
        for at, room in enumerate(ROOMS):
            assert [record.body["n"] for record in seen if record.to == room] == list(range(at, 300, 3))

    asyncio.run(read())


def write(settings: Settings, numbers: range) -> None:
    """Write records, a room's all to one partition."""
    producer = Producer({"bootstrap.servers": settings.kafka_brokers, "enable.idempotence": True, "log_level": 2})
    for n in numbers:
        record = Record(Kind.NOTIFICATION, ROOMS[n % 3], {"n": n})
        producer.produce(settings.topic, record.encode(), partition=n % 3)
    assert producer.flush(SECONDS) == 0


async def read_on(reader: Topic, seen: list[Record], many: int) -> None:
    while len(seen) < many:
        seen += await asyncio.wait_for(reader.batch(), SECONDS)
    assert len(seen) == many


def test_a_producer_that_lost_kafka_for_good_is_replaced_and_what_follows_arrives(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ephemeral, "WORTH_SECONDS", 30)
    sender = Ephemeral(settings)
    deaf = sender._producer = Producer({**NOWHERE, "message.timeout.ms": 300})
    deadline = time.monotonic() + SECONDS
    for first in count():
        sender.send(Record(Kind.TYPING, ROOMS[0], {"n": first}))
        if sender._producer is not deaf:
            break
        assert time.monotonic() < deadline, f"{first} were sent to nowhere"
        threading.Event().wait(0.05)
    for n in range(first + 1, first + 100):
        sender.send(Record(Kind.TYPING, ROOMS[0], {"n": n}))
    assert sender._producer.flush(SECONDS) == 0
    sender.close()
    assert all_of(settings) == list(range(first, first + 100))
    assert first >= ephemeral.TIMEOUTS


def all_of(settings: Settings) -> list[int]:
    """Read the numbers of all records of the topic, which are of one room."""
    consumer = Consumer({"bootstrap.servers": settings.kafka_brokers, "group.id": "all", "log_level": 2})
    places = [TopicPartition(settings.topic, number, 0) for number in range(3)]
    many = sum(consumer.get_watermark_offsets(place, timeout=SECONDS)[1] for place in places)
    consumer.assign(places)
    records = [decode(message.value()) for message in consumer.consume(many, SECONDS)]
    consumer.close()
    return [record.body["n"] for record in records]
