"""A worker whose Kafka client lost Kafka for good goes on where its group stands, with another client."""

import time

import pytest
from confluent_kafka import Consumer

from app_integration.workers import group
from app_integration.workers.group import Group
from app_integration.workers.received import Received
from app_integration.workers.settings import Settings
from tests.conftest import MakeTopic
from tests.integration.workers.conftest import SECONDS, Produce


def test_a_worker_whose_client_lost_kafka_for_good_goes_on_where_its_group_stands(
    settings: Settings, make_topic: MakeTopic, produce: Produce, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As librdkafka's may when a broker that has just started tells it of topics and of no broker."""
    monkeypatch.setattr(group, "QUIET_SECONDS", 0.3)
    monkeypatch.setattr(group, "ANSWER_SECONDS", 0.3)
    topic = make_topic(partitions=1)
    joined = Group(settings.properties, f"{settings.group_prefix}test", (topic,))
    sent = [produce(topic, b"") for _ in range(10)]
    handled: list[str] = []
    wait_for(joined, 10)
    handle(joined, handled, 6)
    hearing, deaf = joined._consumer, Consumer({"bootstrap.servers": "127.0.0.1:1", "group.id": "deaf", "log_level": 0})
    received = joined.take(4)
    hearing.close()  # with what is done
    joined.put_back(received)
    deaf.subscribe([topic])
    joined._consumer = deaf
    joined.pause()  # as when the database is away, too: silence is asked about all the same
    sent += [produce(topic, b"") for _ in range(10)]
    deadline = time.monotonic() + SECONDS
    while joined._consumer is deaf:
        assert time.monotonic() < deadline, "the client that hears nothing is kept"
        assert joined.pending == 4
        joined.receive(joined.pending + 1, 0.1)
    joined.resume()
    wait_for(joined, 14)
    handle(joined, handled, 14)
    sent += [produce(topic, b"") for _ in range(5)]
    wait_for(joined, 5)
    handle(joined, handled, 5)
    joined.close()
    assert handled == sent


def wait_for(joined: Group, many: int) -> None:
    deadline = time.monotonic() + SECONDS
    while joined.pending < many:
        assert time.monotonic() < deadline, f"{joined.pending} of {many} came"
        joined.receive(100, 0.1)


def handle(joined: Group, handled: list[str], many: int) -> None:
    taken: list[Received] = joined.take(many)
    handled += [message.id for message in taken]
    joined.done(taken)
