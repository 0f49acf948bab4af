"""The judge's process against a real Kafka: it sees everything, and its own failure is never an answer."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from uuid import uuid4

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined]

from relay.judge import JudgeFailed, Seen, consumer, deafness, read_topics, watching
from relay.judge.consumer import Reader
from relay.local.kafka import Kafka
from tests.conftest import MakeTopic


def write(brokers: str, topic: str, numbers: range) -> None:
    producer = Producer({"bootstrap.servers": brokers, "enable.idempotence": True, "log_level": 2})
    for n in numbers:
        headers: list[tuple[str, str | bytes | None]] = [
            ("ce_id", f"{topic}/{n}"),
            ("ce_time", "2026-01-31T12:00:00Z"),
        ]
        producer.produce(topic, json.dumps({"n": n}), str(n % 7), headers=headers)
    assert producer.flush(30) == 0


def test_all_messages_of_all_partitions_are_seen_in_order(kafka_brokers: str, make_topic: MakeTopic) -> None:
    topics = [make_topic(partitions=4), make_topic(partitions=1)]
    for topic in topics:
        write(kafka_brokers, topic, range(3000))
    seen = read_topics(kafka_brokers, topics, counter="n")
    assert {message.id for message in seen} == {f"{topic}/{n}" for topic in topics for n in range(3000)}
    assert len(seen) == 6000
    for key in map(str, range(7)):
        for topic in topics:
            numbers = [message.n for message in seen if (message.topic, message.key) == (topic, key)]
            assert numbers == list(range(int(key), 3000, 7))


def test_a_topic_that_appears_later_is_read_from_its_beginning(kafka_brokers: str, make_topic: MakeTopic) -> None:
    present, later = make_topic(), f"test-{uuid4()}"
    write(kafka_brokers, present, range(10))
    with watching(kafka_brokers, [present, later]) as watch:
        assert watch.wait_for(lambda seen: len(seen) == 10, 30)
        write(kafka_brokers, later, range(10))
        assert len(watch.finish()) == 20


def test_a_topic_that_is_made_again_is_read_from_its_new_beginning(
    kafka_brokers: str, kafka_admin: AdminClient, make_topic: MakeTopic
) -> None:
    topic = make_topic(partitions=2)
    write(kafka_brokers, topic, range(100))
    with watching(kafka_brokers, [topic]) as watch:
        assert watch.wait_for(lambda seen: len(seen) == 100, 30)
        kafka_admin.delete_topics([topic])[topic].result(30)
        assert wait_until_gone(kafka_admin, topic)
        kafka_admin.create_topics([NewTopic(topic, 1, 1)])[topic].result(30)
        write(kafka_brokers, topic, range(100, 110))
        assert watch.wait_for(lambda seen: len(seen) == 110, 30)
        write(kafka_brokers, topic, range(110, 300))
        assert {message.id for message in watch.finish()} == {f"{topic}/{n}" for n in range(300)}


def test_nothing_of_a_topic_that_is_made_again_is_seen_before_its_beginning(
    kafka_brokers: str, kafka_admin: AdminClient, make_topic: MakeTopic, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The client would go on at ten, where it was, whatever lies before that in the new one."""
    topic = make_topic(partitions=1)
    write(kafka_brokers, topic, range(10))
    with closing(Reader(kafka_brokers, [topic])) as reader:

        def read_until(count: int) -> list[int]:
            offsets: list[int] = []
            deadline = time.monotonic() + 30
            while len(offsets) < count and time.monotonic() < deadline:
                offsets += [message.offset for message in reader.batch()]
            return offsets

        assert read_until(10) == list(range(10))
        kafka_admin.delete_topics([topic])[topic].result(30)
        assert wait_until_gone(kafka_admin, topic)
        monkeypatch.setattr(consumer, "REFRESH_SECONDS", 0)
        assert list(reader.batch()) == []
        monkeypatch.setattr(consumer, "REFRESH_SECONDS", 5)
        kafka_admin.create_topics([NewTopic(topic, 1, 1)])[topic].result(30)
        write(kafka_brokers, topic, range(100, 200))
        assert read_until(100) == list(range(100))


def wait_until_gone(admin: AdminClient, topic: str) -> bool:
    deadline = time.monotonic() + 30
    while topic in admin.list_topics(timeout=10).topics and time.monotonic() < deadline:
        time.sleep(0.05)
    return topic not in admin.list_topics(timeout=10).topics


def test_a_broker_that_was_killed_is_waited_for(own_kafka: Callable[[], Kafka]) -> None:
    kafka, topic = own_kafka(), f"test-{uuid4()}"
    write(kafka.brokers, topic, range(100))
    with watching(kafka.brokers, [topic]) as watch:
        assert watch.wait_for(lambda seen: len(seen) == 100, 30)
        kafka.kill()
        kafka.start()
        write(kafka.brokers, topic, range(100, 200))
        assert [message.id for message in watch.finish() if message.key == "0"] == [
            f"{topic}/{n}" for n in range(0, 200, 7)
        ]


def test_a_judge_whose_clients_lost_kafka_for_good_goes_on_where_it_was(
    kafka_brokers: str, make_topic: MakeTopic, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As librdkafka's may when a broker that has just started tells them of topics and of no broker."""
    monkeypatch.setattr(deafness, "SECONDS", 0.5)
    monkeypatch.setattr(consumer, "METADATA_SECONDS", 1.0)
    topic = make_topic(partitions=2)
    write(kafka_brokers, topic, range(100))
    reader = Reader(kafka_brokers, [topic])
    seen: list[Seen] = []
    read_on(reader, seen, 100)
    write(kafka_brokers, topic, range(100, 200))
    deaf = reader._consumer
    deaf.pause(deaf.assignment())
    reader._admin = AdminClient({"bootstrap.servers": "127.0.0.1:1", "log_level": 0})
    read_on(reader, seen, 200)
    write(kafka_brokers, topic, range(200, 300))
    read_on(reader, seen, 300)
    assert reader.reached(reader.ends())
    reader.close()
    assert reader._consumer is not deaf
    for partition in range(2):
        offsets = [message.offset for message in seen if message.partition == partition]
        assert offsets == list(range(len(offsets)))


def read_on(reader: Reader, seen: list[Seen], many: int) -> None:
    deadline = time.monotonic() + 60
    while len(seen) < many:
        assert time.monotonic() < deadline, f"{len(seen)} of {many} seen"
        seen.extend(reader.batch())
    assert len(seen) == many


def test_a_topic_that_does_not_exist_is_a_failure_not_an_empty_one(kafka_brokers: str) -> None:
    missing = f"test-{uuid4()}"
    with pytest.raises(JudgeFailed, match=missing):
        read_topics(kafka_brokers, [missing])


def test_a_judge_that_was_killed_is_a_failure_not_an_answer(kafka_brokers: str, make_topic: MakeTopic) -> None:
    with watching(kafka_brokers, [make_topic()]) as watch:
        os.kill(watch.pid, signal.SIGKILL)
        with pytest.raises(JudgeFailed, match="nothing is proven"):
            watch.finish()


def test_the_command_prints_its_counts(kafka_brokers: str, make_topic: MakeTopic) -> None:
    topic = make_topic()
    write(kafka_brokers, topic, range(5))
    write(kafka_brokers, topic, range(2))
    command = [
        sys.executable,
        "-m",
        "relay.judge",
        "--brokers",
        kafka_brokers,
        "--topics",
        topic,
        "--counter",
        "n",
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == {
        "messages": 7,
        "distinct": 5,
        "duplicates": 2,
        "stale": 0,
        "out_of_order": 0,
        "repeated": {f"{topic}/0": 2, f"{topic}/1": 2},
    }


def test_a_broker_that_is_not_there_is_one_clear_line() -> None:
    command = [sys.executable, "-m", "relay.judge", "--brokers", "127.0.0.1:1", "--topics", "audit-logs"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (1, "", 1)
    assert done.stderr.startswith("cannot read on: ")
