"""Tells other servers what is worth nothing in a few seconds: who types, and candidates of calls. Straight to Kafka.

Law: nothing here is stored, and no transaction depends on it, so it does without the outbox: a row, its WAL and a
checkpoint for each key stroke would buy a durability that nobody wants, and candidates, which are addresses of people's
machines, would stay in a table for a week. It is lost when Kafka is away, and that is told to the log, not the client.
A Kafka client that may have lost its way to it for good (`app_integration.contact`) is replaced by another.
"""

import logging
import time
from threading import Thread
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from app_integration.client_log import client_log
from app_integration.realtime.records import Record
from app_integration.realtime.settings import PRODUCER, Settings

log = logging.getLogger("app_integration.realtime")

WORTH_SECONDS = 10
"""After this nobody wants it any more."""

QUIET_SECONDS = 10.0

TIMEOUTS = 2
"""In a row, after which the producer is replaced: one each `WORTH_SECONDS` at most, if Kafka is away indeed."""


class Ephemeral:
    """The producer of one server.

    Args:
        settings: the server's.
    """

    def __init__(self, settings: Settings) -> None:
        self._topic = settings.topic
        self._complained = float("-inf")
        self._timeouts = 0
        self._properties: dict[str, Any] = {
            "client.id": "realtime",
            "queue.buffering.max.messages": 10_000,
            "log_level": 3,
            **settings.kafka,
            "bootstrap.servers": settings.kafka_brokers,
            **PRODUCER,
            "message.timeout.ms": WORTH_SECONDS * 1000,
            "logger": client_log(log.name),
        }
        self._producer = Producer(self._properties)

    def send(self, record: Record) -> None:
        """Hand a record to Kafka's client, which sends it in the background; never waits."""
        self._producer.poll(0)  # what became of earlier ones
        if self._timeouts >= TIMEOUTS:
            self._begin_anew()
        headers: list[tuple[str, str | bytes | None]] = [
            ("ce_type", f"realtime.{record.kind}".encode()),
            ("content-type", b"application/json"),
        ]
        try:
            self._producer.produce(
                self._topic, record.encode(), record.to.encode(), headers=headers, on_delivery=self._delivered
            )
        except BufferError:
            self._complain("too much waits to be sent")

    def close(self) -> None:
        """Send what waits, for a moment."""
        self._producer.flush(2)

    def _begin_anew(self) -> None:
        """Send with another producer; what waits in the old one, of some seconds, is lost like that before."""
        self._timeouts = 0
        try:
            fresh = Producer(self._properties)
        except KafkaException as error:
            self._complain(f"no new producer can be made: {error}")
            return
        old, self._producer = [self._producer], fresh
        # On a thread: the end of a producer waits for its own threads, and those perhaps for a name server.
        Thread(target=_end, args=(old,), name="realtime-producer-ends", daemon=True).start()

    def _delivered(self, error: KafkaError | None, _: Message) -> None:
        timed_out = error is not None and error.code() == KafkaError._MSG_TIMED_OUT  # noqa: SLF001
        self._timeouts = self._timeouts + 1 if timed_out else 0
        if error is not None:
            self._complain(error.str())

    def _complain(self, why: str) -> None:
        if time.monotonic() - self._complained > QUIET_SECONDS:
            self._complained = time.monotonic()
            log.warning("kafka did not take something ephemeral (typing, candidates), which is lost: %s", why)


def _end(last: list[Producer]) -> None:
    """End a producer, which is in the list and nowhere else: it ends with the last reference to it."""
    producer = last.pop()
    producer.purge()  # what is not answered for would stay in memory
    producer.flush(1)
