"""When messages reach a consumer: a process of its own, `python -m relay.bench.arrivals COUNT`, and its answer.

It consumes what is written to a topic from the moment at which it says that it is ready, message by message, and reads
the clock as soon as it has one. The payload of each message begins with a number (`payload`).
"""

import gc
import os
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from confluent_kafka import Consumer, TopicPartition

from relay.bench.aside import Aside, aside, say_answer, say_ready
from relay.configuration.loading import load
from relay.configuration.settings import Settings
from relay.errors import WorkFailed

DIGITS = 12
"""Of the number at the beginning of a payload."""

PATIENCE = 30.0
"""Seconds without a message until those that are missing are given up."""


def payload(number: int, size: int = 300) -> bytes:
    """Return a payload of so many bytes that carries a number."""
    return f"{number:0{DIGITS}}".encode().ljust(size, b"x")


@dataclass(frozen=True, slots=True)
class Arrivals:
    """When messages came, by their numbers from 0; a repeat does not count."""

    at: list[float]
    """By the monotonic clock, in seconds."""
    stamped: list[float]
    """The time that the producer gave the message when it was handed to it, in seconds since 1970. Kafka keeps whole
    milliseconds; half of one is added, so that a mean over many messages is true."""


class Coming:
    """Messages on their way to a consumer that is ready."""

    def __init__(self, beside: Aside, count: int) -> None:
        self._beside = beside
        self._count = count

    def all(self) -> Arrivals:
        """Wait until all have come.

        Raises:
            WorkFailed: some did not.
        """
        found = {int(number): instants for number, instants in self._beside.answer().items()}
        missing = self._count - len(found)
        if missing:
            raise WorkFailed(f"{missing} of {self._count} messages did not reach the consumer within {PATIENCE:g} s")
        in_order = [found[number] for number in range(self._count)]
        return Arrivals([at for at, _ in in_order], [stamp / 1000 + 0.0005 for _, stamp in in_order])


@contextmanager
def consuming(environment: Mapping[str, str], count: int) -> Iterator[Coming]:
    """Consume, while the context lasts, what is written from now on to the topic in Kafka.

    Args:
        environment: as of a relay, with a route for one logical topic.
        count: how many messages will come, with the numbers from 0.

    Raises:
        WorkFailed: Kafka does not answer.
    """
    with aside("relay.bench.arrivals", environment, count) as beside:
        yield Coming(beside, count)


def consumer(kafka: Mapping[str, str], brokers: str) -> Consumer:
    """Make a consumer that belongs to no group and answers as soon as there is a message (`fetch.min.bytes` is 1).

    Args:
        kafka: librdkafka properties that reach Kafka.
        brokers: where it is.
    """
    fixed = {"bootstrap.servers": brokers, "group.id": "relay-bench", "enable.auto.commit": False, "log_level": 2}
    return Consumer({**kafka, **fixed, "auto.offset.reset": "earliest"})


def partitions(client: Consumer, topic: str) -> list[TopicPartition]:
    """Return all partitions of a topic, each at its present end."""
    ids = client.list_topics(topic, timeout=PATIENCE).topics[topic].partitions
    found = [TopicPartition(topic, partition) for partition in ids]
    for partition in found:
        partition.offset = client.get_watermark_offsets(partition, timeout=PATIENCE)[1]
    return found


def _consume(settings: Settings, count: int) -> dict[int, tuple[float, int]]:
    """Return for each number when it came, by the monotonic clock, and its timestamp in milliseconds."""
    client = consumer(settings.kafka, settings.kafka_brokers)
    (topic,) = settings.topics.values()
    client.assign(partitions(client, topic.name))
    say_ready()
    found: dict[int, tuple[float, int]] = {}
    while len(found) < count and (message := client.poll(PATIENCE)):
        now = time.monotonic()
        value = message.value()
        if message.error() is None and value is not None and (number := int(value[:DIGITS])) not in found:
            found[number] = now, message.timestamp()[1]
    client.close()
    return found


def main() -> None:
    """Do it and report."""
    settings = load(os.environ)
    gc.disable()  # a collection would pass for latency; the process is short
    say_answer(_consume(settings, int(sys.argv[1])))


if __name__ == "__main__":
    main()
