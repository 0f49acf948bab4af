"""Tells others of a message that is dead: a copy on `<topic>.dead`, its headers and more, which say what went wrong.

Guarantees: `send` returns only when all in-sync replicas have the letter. It goes to Kafka directly and not through
the outbox, for a poison message may be of bytes that no text column takes, and its `ce_` headers stay as they were.
The copy that `worker replay` handles is the one in the database; a letter that Kafka finds too large is given up,
with a line in the log.
"""

import logging
from collections.abc import Mapping
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from app_integration.contracts.topics import DEAD
from app_integration.workers.received import Received
from app_integration.workers.verdict import Failed, Outage
from app_integration.workers.worker import Worker

log = logging.getLogger("app_integration.workers")

LOCKED: dict[str, Any] = {
    "enable.idempotence": True,
    "acks": "all",
    "partitioner": "murmur2_random",
    "linger.ms": 0,
    "message.timeout.ms": 10_000,
    "message.max.bytes": 100_000_000,
}

SECONDS = 15.0
"""How long Kafka is waited for; above the message's own timeout, so that there is always an answer."""

TOO_LARGE = frozenset({KafkaError.MSG_SIZE_TOO_LARGE, KafkaError.INVALID_MSG_SIZE})


class DeadLetters:
    """Sends dead letters, with a producer that is made when the first one is needed.

    Args:
        properties: of librdkafka, `bootstrap.servers` among them.
    """

    def __init__(self, properties: Mapping[str, Any]) -> None:
        self._properties = properties
        self._producer: Producer | None = None

    def send(self, worker: Worker, message: Received, failed: Failed) -> None:
        """Send a dead letter, and wait until Kafka has it.

        Raises:
            Outage: Kafka does not take it now.
        """
        answers: list[KafkaError | None] = []

        def answered(error: KafkaError | None, _: Message) -> None:
            answers.append(error)

        topic = f"{message.topic}{DEAD}"
        producer = self._producer = self._producer or Producer({**self._properties, **LOCKED})
        try:
            producer.produce(
                topic,
                message.value,
                message.key,
                headers=letter_headers(worker.name, message, failed),
                on_delivery=answered,
            )
            producer.flush(SECONDS)
        except (KafkaException, BufferError) as error:
            self._producer = None
            raise Outage(f"no dead letter could be sent to {topic}: {error}") from None
        self._judge(topic, message, answers)

    def _judge(self, topic: str, message: Received, answers: list[KafkaError | None]) -> None:
        error = answers[0] if answers else None
        if answers and error is None:
            return
        if error is not None and error.code() in TOO_LARGE:
            log.error(
                "message %s is too large for %s: no dead letter; it is kept with the dead ones", message.id, topic
            )
            return
        # A producer that waits for an answer might send the letter later, behind the one that follows: a new one.
        self._producer = None
        reason = error.str() if error is not None else "no answer"
        raise Outage(
            f"no dead letter could be sent to {topic}: {reason}; is there such a topic, and may it be written?"
        )


def letter_headers(consumer: str, message: Received, failed: Failed) -> list[tuple[str, str | bytes | None]]:
    """Make the headers of a dead letter: those of the message, then what became of it. Pure."""
    told = {
        "dead_consumer": consumer,
        "dead_topic": message.topic,
        "dead_partition": str(message.partition),
        "dead_offset": str(message.offset),
        "dead_attempts": str(failed.attempts),
        "dead_error": failed.error,
    }
    return [*message.headers, *((name, text.encode()) for name, text in told.items())]
