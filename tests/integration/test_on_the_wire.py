"""What a consumer receives: key and value as given, CloudEvents headers, the partition that other producers choose."""

import json
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import cast

import psutil
import psycopg
import pytest
from confluent_kafka import Consumer, Message, TopicPartition

from tests.conftest import MakeTopic
from tests.faults.world import World, wait_until
from tests.services import PARTITIONS


def consume(here: World, count: int) -> list[Message]:
    """Read so many messages from the beginning of the topic."""
    consumer = Consumer({"bootstrap.servers": here.brokers, "group.id": "test", "enable.auto.commit": False})
    consumer.assign([TopicPartition(here.topic, partition, 0) for partition in range(PARTITIONS)])
    deadline = time.monotonic() + 30
    messages: list[Message] = []
    while len(messages) < count and time.monotonic() < deadline:
        message = consumer.poll(1)
        if message is not None and message.error() is None:
            messages.append(message)
    consumer.close()
    assert len(messages) == count
    return messages


def execute(here: World, statement: str, *parameters: object) -> list[tuple[object, ...]]:
    with psycopg.connect(here.database_url) as connection:
        return connection.execute(statement.encode(), parameters).fetchall()


def headers(message: Message) -> dict[str, str]:
    found = cast("list[tuple[str, bytes]]", message.headers() or [])
    return {name: value.decode() for name, value in found}


def test_a_message_arrives_as_it_was_given_and_described(here: World) -> None:
    here.relay("one", RELAY_SOURCE="/shop")
    before = datetime.now(UTC)
    ((id_,),) = execute(
        here,
        "select outbox.enqueue(%s, '{\"path\": \"C:\\\\tmp\"}', 'kéy', 'user_added', '{\"traceparent\": \"00-1\"}')",
        here.topic,
    )
    (message,) = consume(here, 1)
    after = datetime.now(UTC)
    assert message.key() == "kéy".encode()
    assert json.loads(message.value() or b"") == {"path": "C:\\tmp"}
    found = headers(message)
    assert before <= datetime.fromisoformat(found.pop("ce_time")) <= after
    assert found == {
        "ce_specversion": "1.0",
        "ce_id": str(id_),
        "ce_type": "user_added",
        "ce_source": "/shop",
        "content-type": "application/json",
        "traceparent": "00-1",
    }
    _, published = message.timestamp()
    assert before.timestamp() - 0.001 <= published / 1000 <= after.timestamp()


def test_a_sent_message_that_is_replayed_arrives_once_more_with_the_number_of_the_act(here: World) -> None:
    here.relay("one")
    execute(here, "select outbox.enqueue(%s, '1', 'k', headers => '{\"trace\": \"a\"}')", here.topic)
    execute(here, "select outbox.enqueue(%s, '2', 'k')", here.topic)
    consume(here, 2)
    wait_until(lambda: here.states() == {"sent": 2}, 20)
    ((act, count),) = execute(here, "select * from outbox.replay('lost', topic => %s, sent => true)", here.topic)
    assert count == 2
    first, second, *again = consume(here, 4)
    assert [message.value() for message in again] == [b"1", b"2"]
    assert headers(again[0]) == {**headers(first), "ce_replay": str(act)}
    assert headers(again[1]) == {**headers(second), "ce_replay": str(act)}
    settled = "select count(*) from outbox.held where settled_as = 'sent' and replay = %s"
    wait_until(lambda: execute(here, settled, act) == [(2,)], 20)
    ((forced, _),) = execute(
        here, "select * from outbox.replay('once more', topic => %s, sent => true, force => true)", here.topic
    )
    *_, third, _ = consume(here, 6)
    assert headers(third) == {**headers(first), "ce_replay": str(forced), "ce_force": "true"}


def test_headers_can_be_reduced_to_the_identity(here: World) -> None:
    here.relay("one", RELAY_HEADERS="id")
    ((id_,),) = execute(here, "select outbox.enqueue(%s, '1')", here.topic)
    (message,) = consume(here, 1)
    assert headers(message) == {"ce_id": str(id_)}
    assert message.key() is None


def test_null_is_a_tombstone_and_bytes_arrive_unchanged(here: World) -> None:
    here.relay("one")
    every_byte = bytes(range(256))
    execute(here, "select outbox.enqueue(%s, null, 'k')", here.topic)
    execute(here, "select outbox.enqueue_bytes(%s, %s, key => 'k')", here.topic, every_byte)
    assert [message.value() for message in consume(here, 2)] == [None, every_byte]


def test_keys_go_to_the_partitions_that_java_and_kafkajs_choose(here: World) -> None:
    """The partitions of these keys among 4, by murmur2 as org.apache.kafka.common.utils.Utils defines it."""
    here.relay("one")
    keys = [str(number) for number in range(50)]
    for key in keys:
        here.enqueue(1, key=key)
    arrived = {(message.key() or b"").decode(): message.partition() for message in consume(here, 50)}
    assert arrived == {key: (murmur2(key.encode()) & 0x7FFFFFFF) % PARTITIONS for key in keys}


def murmur2(data: bytes) -> int:
    """Kafka's hash, in 32-bit arithmetic."""
    m, mask = 0x5BD1E995, 0xFFFFFFFF
    h = (0x9747B28C ^ len(data)) & mask
    whole = len(data) & ~3
    for at in range(0, whole, 4):
        k = int.from_bytes(data[at : at + 4], "little") * m & mask
        h = (h * m & mask) ^ ((k ^ k >> 24) * m & mask)
    if rest := data[whole:]:
        h = (h ^ int.from_bytes(rest, "little")) * m & mask
    h = (h ^ h >> 13) * m & mask
    return h ^ h >> 15


def test_a_message_reaches_a_topic_of_another_name(here: World, tmp_path: Path) -> None:
    settings = tmp_path / "relay.toml"
    settings.write_text(f'[topics.orders]\nname = "{here.topic}"\n')
    here.relay("one", RELAY_CONFIG=str(settings))
    here.enqueue(1, topic="orders", key="locked-1")
    (message,) = consume(here, 1)
    assert message.key() == b"locked-1"


@pytest.mark.timeout(300)
def test_memory_stays_low_under_payloads_of_a_mebibyte(here: World, make_topic: MakeTopic) -> None:
    topic = make_topic(config={"max.message.bytes": "2000000"})
    with psycopg.connect(here.database_url) as connection:
        connection.execute(
            "insert into outbox.message (topic, key, payload) select %s, n::text, "
            "(select string_agg(uuid_send(gen_random_uuid()), '') from generate_series(1, 65536 + n - n)) "
            "from generate_series(1, 150) n",
            (topic,),
        )
    relay = here.relay("one")
    process, peak = psutil.Process(relay.process.pid), 0

    def drained() -> bool:
        nonlocal peak
        peak = max(peak, process.memory_info().rss)
        return execute(here, "select coalesce(sum(sent), 0) from outbox.checkpoint") == [(150,)]

    wait_until(drained, 120)
    assert peak < 150_000_000, f"{peak / 1e6:.0f} MB"
