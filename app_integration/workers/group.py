"""A worker's place in its consumer group: what it has received and not handled, and what it has handled.

The only module that consumes. Guarantees: an offset is committed only after `done`; what was received of a partition
that was taken away since is forgotten, and not handled, and comes again if the partition does; leaving hands over at
once what was done. Partitions move by cooperative rebalancing: those that stay are handled meanwhile. A client that
lost its way to Kafka is replaced.
"""

import logging
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from threading import Thread
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from app_integration.client_log import client_log
from app_integration.contact import Contact
from app_integration.workers.received import Received
from app_integration.workers.verdict import Outage

log = logging.getLogger("app_integration.workers")

LOCKED: dict[str, Any] = {
    # What was handled is stored by hand, after its commit; the client then commits it now and then, and on leaving.
    "enable.auto.offset.store": False,
    "enable.auto.commit": True,
    "partition.assignment.strategy": "cooperative-sticky",
    "allow.auto.create.topics": False,
}

TUNING: dict[str, Any] = {
    # A new worker handles all that is kept.
    "auto.offset.reset": "earliest",
    "auto.commit.interval.ms": 1_000,
    # How long a killed instance keeps its partitions.
    "session.timeout.ms": 10_000,
    "heartbeat.interval.ms": 2_000,
    # A topic that is made later is found.
    "topic.metadata.refresh.interval.ms": 10_000,
    "socket.keepalive.enable": True,
    "reconnect.backoff.max.ms": 2_000,
    "fetch.wait.max.ms": 100,
    "queued.max.messages.kbytes": 16_384,
}

PASSING = frozenset({KafkaError._PARTITION_EOF})  # noqa: SLF001 - librdkafka's own codes begin with an underscore

QUIET_SECONDS = 10.0
"""Without a message, after which Kafka is asked whether it answers; also between two such questions."""
ANSWER_SECONDS = 1.0
"""For an answer."""
TRIES = 3
"""Questions in a row without an answer, after which the client is replaced: one in half a minute, if Kafka is away
indeed."""

Place = tuple[str, int]
"""A topic and a partition."""


class Group:
    """Receives messages.

    Args:
        properties: of librdkafka, `bootstrap.servers` among them.
        group: its name.
        topics: in Kafka.
    """

    def __init__(self, properties: Mapping[str, Any], group: str, topics: Sequence[str]) -> None:
        ours = {"group.id": group, "logger": client_log(log.name)}
        self._properties: dict[str, Any] = {**TUNING, **properties, **LOCKED, **ours}
        self._topics = list(topics)
        self._pending: deque[Received] = deque()
        self._next: dict[Place, int] = {}
        self._paused = False
        self._ours: set[Place] = set()
        self._contact = Contact(QUIET_SECONDS, QUIET_SECONDS, TRIES)
        self._consumer = Consumer(self._properties)
        self._subscribe()

    def receive(self, most: int, seconds: float) -> None:
        """Take what has come, and take part in rebalances: to be called often, at least every few minutes.

        Args:
            most: how many may be pending afterwards.
            seconds: how long to wait for a message.

        Raises:
            Outage: Kafka does not let us go on.
        """
        if self._contact.time_to_ask():
            self._listen_anew_if_deaf()
        try:
            # One at a time: a partition may be lost, and ours again, within one call, and of many messages that this
            # call returned nobody could tell those of before, which come again, from those of after.
            found = self._consumer.poll(seconds)
            while found is not None:
                self._keep(found)
                found = self._consumer.poll(0) if len(self._pending) < most else None
        except (KafkaException, RuntimeError) as error:
            raise Outage(f"kafka: {error}") from None

    def take(self, most: int) -> list[Received]:
        """Take pending messages, in order; each is to be given to `done` or `put_back`."""
        return [self._pending.popleft() for _ in range(min(most, len(self._pending)))]

    def put_back(self, messages: Sequence[Received]) -> None:
        """Have messages pending again, before all others."""
        self._pending.extendleft(reversed(messages))

    @property
    def pending(self) -> int:
        """How many have come and were not taken."""
        return len(self._pending)

    def done(self, messages: Iterable[Received]) -> None:
        """Let the offsets of messages be committed: what became of them is."""
        reached = {(message.topic, message.partition): message.offset + 1 for message in messages}
        self._next |= reached
        for (topic, partition), offset in reached.items():
            # Refused for a partition that is not ours any more: its new owner finds the messages in the inbox.
            with suppress(KafkaException):
                self._consumer.store_offsets(offsets=[TopicPartition(topic, partition, offset)])

    def pause(self) -> None:
        """Fetch nothing for now, and stay in the group; to be called again after each `receive`."""
        self._paused = True
        with suppress(KafkaException):
            self._consumer.pause(self._consumer.assignment())

    def resume(self) -> None:
        """Fetch again."""
        if self._paused:
            self._paused = False
            with suppress(KafkaException):
                self._consumer.resume(self._consumer.assignment())

    def lag(self) -> dict[Place, int]:
        """How many messages of each partition of ours are not handled yet, as far as the last fetch knows."""
        behind = {}
        with suppress(KafkaException):
            for partition in self._consumer.assignment():
                place = (partition.topic, partition.partition)
                low, high = self._consumer.get_watermark_offsets(partition, cached=True)
                if high >= 0 and place in self._next:
                    behind[place] = max(0, high - max(low, self._next[place]))
        return behind

    def close(self) -> None:
        """Commit what is done and leave, so that others have the partitions at once."""
        self._pending.clear()
        _leave(self._consumer)

    def _subscribe(self) -> None:
        self._consumer.subscribe(
            self._topics, on_assign=self._assigned, on_revoke=self._revoked, on_lost=self._forgotten
        )

    def _listen_anew_if_deaf(self) -> None:
        if self._kafka_answers():
            self._contact.heard()
        elif self._contact.lost():
            self._listen_anew()

    def _kafka_answers(self) -> bool:
        try:
            # An answer that names no broker is what a client loses its way by.
            return bool(self._consumer.list_topics(self._topics[0], timeout=ANSWER_SECONDS).brokers)
        except KafkaException:
            return False

    def _listen_anew(self) -> None:
        """Go on with another client, where the group stands.

        Nothing is lost: offsets are committed only of what was handled, so that what was received and is not handled,
        which is forgotten here, comes again. Nothing is done twice: what was handled and could not be committed any
        more comes again too, and the inbox has it. A pause is renewed by who paused, after the next `receive`.
        """
        try:
            fresh = Consumer(self._properties)  # before the old one is gone: perhaps no file can be opened now
        except KafkaException as error:
            raise Outage(f"kafka: {error}") from None
        log.warning("kafka has not answered for a while: a new client is made, which may find it where this one cannot")
        old, self._consumer = self._consumer, fresh
        self._pending.clear()
        self._next.clear()
        self._ours.clear()
        # Leaving waits for an answer, which a frozen Kafka does not give: this thread does not wait along, and if the
        # old client still wakes up, the group takes it for another instance.
        Thread(target=_leave, args=(old,), name="worker-leaves", daemon=True).start()
        self._subscribe()

    def _keep(self, message: Message) -> None:
        if self._is_message(message):
            self._contact.heard()
            received = _received(message)
            # Of a partition that was taken away just now something may still be on its way to us.
            if (received.topic, received.partition) in self._ours:
                self._pending.append(received)

    def _is_message(self, message: Message) -> bool:
        error = message.error()
        if error is None:
            return True
        if error.fatal():
            raise Outage(f"kafka: {error.str()}")
        if error.code() not in PASSING:
            log.warning("kafka: %s; the worker goes on when that is over", error.str())
        return False

    def _assigned(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        if consumer is not self._consumer:
            return
        log.info("partitions taken: %s", _told(partitions))
        self._ours |= _places(partitions)
        for committed in self._committed(consumer, partitions):
            self._next[committed.topic, committed.partition] = max(0, committed.offset)

    @staticmethod
    def _committed(consumer: Consumer, partitions: list[TopicPartition]) -> list[TopicPartition]:
        # Only for the lag: a worker begins where its group stands, whether this is answered or not.
        try:
            return consumer.committed(partitions, timeout=2.0)
        except KafkaException:
            return []

    def _revoked(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        """Give partitions up: the client commits what was done of them, as soon as this returns."""
        if consumer is not self._consumer:
            return  # replaced, and about to leave
        log.info("partitions given up: %s", _told(partitions))
        self._drop(partitions)

    def _forgotten(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        if consumer is not self._consumer:
            return
        log.warning("partitions lost: %s: this worker was silent for too long; others have them", _told(partitions))
        self._drop(partitions)

    def _drop(self, partitions: list[TopicPartition]) -> None:
        lost = _places(partitions)
        self._ours -= lost
        # The client remembers a pause of what is not ours any more, and would fetch nothing when it is ours again.
        with suppress(KafkaException):
            self._consumer.resume(partitions)
        self._pending = deque(one for one in self._pending if (one.topic, one.partition) not in lost)
        for place in lost:
            self._next.pop(place, None)


def _leave(consumer: Consumer) -> None:
    with suppress(KafkaException, RuntimeError):
        consumer.close()


def _received(message: Message) -> Received:
    _, timestamp = message.timestamp()
    headers: Any = message.headers() or []
    return Received(
        message.topic() or "",
        int(message.partition() or 0),
        int(message.offset() or 0),
        _bytes(message.key()),
        _bytes(message.value()),
        headers,
        timestamp,
    )


def _bytes(value: str | bytes | None) -> bytes | None:
    return value.encode() if isinstance(value, str) else value


def _places(partitions: list[TopicPartition]) -> set[Place]:
    return {(partition.topic, partition.partition) for partition in partitions}


def _told(partitions: list[TopicPartition]) -> str:
    return ", ".join(f"{one.topic}/{one.partition}" for one in partitions) or "none"
