"""Where a message is in Kafka: read from about the time it was sent, where its key puts it, until it is found.

Guarantees: bounded in messages and in time; commits nothing and leaves no consumer group behind; never creates a topic.
"""

import time
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from confluent_kafka import Consumer, KafkaException, Message, TopicPartition

from relay.configuration.kafka_properties import unfit
from relay.configuration.settings import Settings
from relay.errors import BrokerUnreachable, SettingsError
from relay.publishing.broker import PATIENCE

MOST, SECONDS = 500_000, 20.0
"""How many messages are read at most, and for how long."""

LEEWAY = timedelta(seconds=10)
"""How far the clock of the relay, which stamps what Kafka has, may be from the database's."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a message is in Kafka; `partition` is None where it was not found, and `why` says so."""

    topic: str
    partition: int | None = None
    offset: int | None = None
    at: datetime | None = None
    why: str = ""


def find(settings: Settings, topic: str, id_: str, key: str | None, *, since: datetime, until: datetime) -> Place:
    """Look for a message.

    Args:
        settings: which Kafka.
        topic: its name in Kafka.
        id_: the message's id, as in the header `ce_id`.
        key: its key.
        since: it was sent after then.
        until: it was sent before then.
    """
    try:
        consumer = Consumer(
            {
                "log_level": 2,
                **settings.kafka,
                "bootstrap.servers": settings.kafka_brokers,
                "group.id": f"relay-show-{uuid.uuid4()}",
                "enable.auto.commit": False,
                "allow.auto.create.topics": False,
                "enable.partition.eof": False,
            }
        )
    except KafkaException as error:
        raise unfit(error.args[0].str()) from None
    try:
        return _find(consumer, topic, id_, key, (since - LEEWAY, until + LEEWAY))
    except (KafkaException, BrokerUnreachable, SettingsError) as error:
        return Place(topic, why=f"kafka does not answer: {error}")
    finally:
        consumer.close()


def _find(consumer: Consumer, topic: str, id_: str, key: str | None, when: tuple[datetime, datetime]) -> Place:
    known = consumer.list_topics(timeout=PATIENCE).topics.get(topic)
    if known is None:
        return Place(topic, why="the topic does not exist (any more)")
    every = sorted(known.partitions)
    own = [partition_of(key.encode(), len(every))] if key is not None else every
    deadline = time.monotonic() + SECONDS
    # Where partitions were added since, it is in the one that its key had then.
    for partitions in (own, [number for number in every if number not in own]):
        if partitions and (found := _search(consumer, topic, partitions, id_, when=when, deadline=deadline)):
            return found
    first, last = (f"{moment:%Y-%m-%d %H:%M:%S}" for moment in when)
    looked = f"no message of that id was written between {first} and {last} UTC"
    return Place(topic, why=f"{looked}, as far as {MOST:,} messages or {SECONDS:.0f} s go; retention may have taken it")


def _search(
    consumer: Consumer,
    topic: str,
    partitions: list[int],
    id_: str,
    *,
    when: tuple[datetime, datetime],
    deadline: float,
) -> Place | None:
    since, until = (int(moment.timestamp() * 1000) for moment in when)
    wanted = id_.encode()
    starts = consumer.offsets_for_times([TopicPartition(topic, number, since) for number in partitions], PATIENCE)
    ends = {at.partition: consumer.get_watermark_offsets(at, PATIENCE)[1] for at in starts}
    left = {at.partition: at for at in starts if 0 <= at.offset < ends[at.partition]}
    consumer.assign(list(left.values()))
    read = 0
    while left and read < MOST and time.monotonic() < deadline:
        for message in consumer.consume(1_000, 0.5):
            read += 1
            if message.error() is not None:
                continue
            partition, offset = message.partition(), message.offset()
            assert partition is not None
            assert offset is not None
            if dict(message.headers() or []).get("ce_id") == wanted:
                return Place(topic, partition, offset, _at(message))
            if message.timestamp()[1] > until or offset >= ends[partition] - 1:
                left.pop(partition, None)
    return None


def _at(message: Message) -> datetime:
    return datetime.fromtimestamp(message.timestamp()[1] / 1000, UTC)


def partition_of(key: bytes, partitions: int) -> int:
    """The partition that `murmur2_random` puts a key into (org.apache.kafka.common.utils.Utils.murmur2)."""
    m, mask = 0x5BD1E995, 0xFFFFFFFF
    value = (0x9747B28C ^ len(key)) & mask
    whole = len(key) // 4 * 4
    for place in range(0, whole, 4):
        k = int.from_bytes(key[place : place + 4], "little") * m & mask
        k = (k ^ k >> 24) * m & mask
        value = (value * m & mask) ^ k
    if rest := key[whole:]:
        value = (value ^ int.from_bytes(rest, "little")) * m & mask
    value = (value ^ value >> 13) * m & mask
    return ((value ^ value >> 15) & 0x7FFFFFFF) % partitions
