"""Reads the topic: all of it, on every server, from where it ends when the server starts.

Law: the confluent client blocks, so it lives on a thread of its own; what it reads goes to the event loop in batches
through a queue that holds a few, and when that is full the thread waits, and Kafka with it: no backlog grows in memory.
A value that is no record is logged and passed over. There is no consumer group and nothing is committed: every server
needs every record, and one that was away has no client that could have missed it. A Kafka client that lost its way for
good is replaced by another, which begins with the next record of each partition.
"""

import asyncio
import logging
import threading
import time
from concurrent.futures import TimeoutError as NotYet
from contextlib import suppress
from typing import Any
from uuid import uuid4

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, Message, TopicPartition

from app_integration.client_log import client_log
from app_integration.contact import Contact
from app_integration.realtime.records import Malformed, Record, decode
from app_integration.realtime.settings import CONSUMER, Settings
from relay.errors import WorkFailed

log = logging.getLogger("app_integration.realtime")

BATCH = 500
BATCHES_WAITING = 4
POLL_SECONDS = 0.1
PATIENCE = 15.0
"""Seconds for Kafka to answer when the server starts."""
REFRESH_SECONDS = 10.0
"""Between two looks for new partitions, which also show whether Kafka answers."""
AGAIN_SECONDS = 5.0
"""Until the next look when it does not."""
ANSWER_SECONDS = 2.0
"""For an answer; nothing is read meanwhile."""
TRIES = 3
"""Looks in a row without an answer, after which the Kafka client is replaced."""
UNSETTLED = (
    KafkaError.NOT_LEADER_FOR_PARTITION,
    KafkaError.LEADER_NOT_AVAILABLE,
    KafkaError.UNKNOWN_TOPIC_OR_PART,
)
"""What brokers say of a partition while its leader is being chosen; it passes."""
QUIET_SECONDS = 10.0
"""Between two log lines about the same trouble."""


class Topic:
    """The topic, as one server reads it.

    Args:
        settings: the server's.
        loop: where records go.
    """

    def __init__(self, settings: Settings, loop: asyncio.AbstractEventLoop) -> None:
        self._name = settings.topic
        self._loop = loop
        self._batches: asyncio.Queue[list[Record]] = asyncio.Queue(BATCHES_WAITING)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="realtime-topic", daemon=True)
        self._next: dict[int, int] = {}
        """The offset that is read next, of each partition."""
        self._contact = Contact(REFRESH_SECONDS, AGAIN_SECONDS, TRIES)
        self._complained = float("-inf")
        self.lag: dict[int, int] = {}
        """How many records of each partition are not read yet, as far as the last fetch knows."""
        self.away = False
        """Whether Kafka did not answer when it was last asked."""
        self.ended: asyncio.Future[None] = loop.create_future()
        """Done when the thread has ended; with its exception, if that was not asked for."""
        self._properties: dict[str, Any] = {
            "client.id": "realtime",
            "reconnect.backoff.max.ms": 1000,
            "log_level": 3,
            **settings.kafka,
            "bootstrap.servers": settings.kafka_brokers,
            "group.id": f"realtime-{uuid4()}",  # demanded by the client, never used
            **CONSUMER,
            "logger": client_log(log.name),
        }
        self._consumer = Consumer(self._properties)

    def open(self) -> None:
        """Note where each partition ends, so that nothing after this moment is missed, and begin to read. Blocks.

        Raises:
            WorkFailed: Kafka does not answer, or has no such topic.
        """
        try:
            found = self._find(PATIENCE)
            if not found:
                raise WorkFailed(
                    f"Kafka has no topic {self._name!r}: make it with `relay topics --create`, or name another in "
                    "REALTIME_TOPIC"
                )
            deadline = time.monotonic() + PATIENCE
            self._next = {number: self._end(number, deadline) for number in sorted(found)}
        except KafkaException as error:
            raise WorkFailed(f"Kafka does not answer: {error.args[0].str()}") from None
        self._consumer.assign(self._places())
        self._thread.start()

    async def batch(self) -> list[Record]:
        """Wait for records, and take them in the order of Kafka."""
        return await self._batches.get()

    async def close(self) -> None:
        """Stop reading."""
        self._stop.set()
        if self._thread.is_alive():
            with suppress(Exception):
                await self.ended
        await asyncio.to_thread(self._consumer.close)

    def _end(self, number: int, deadline: float) -> int:
        """Ask where a partition ends. One that was just made may have a leader that does not know of it yet."""
        place = TopicPartition(self._name, number)
        while True:
            try:
                answer = self._consumer.get_watermark_offsets(place, timeout=PATIENCE)
                break
            except KafkaException as error:
                if error.args[0].code() not in UNSETTLED or time.monotonic() > deadline:
                    raise
                time.sleep(0.1)
        if answer is None:
            raise KafkaException(KafkaError(KafkaError._TIMED_OUT, "where a partition ends was not told"))  # noqa: SLF001
        return int(answer[1])

    def _places(self) -> list[TopicPartition]:
        return [TopicPartition(self._name, number, offset) for number, offset in self._next.items()]

    def _find(self, seconds: float) -> set[int]:
        # The whole list, never one by name: asking a broker for a topic may create it.
        known = self._consumer.list_topics(timeout=seconds)
        if not known.brokers:
            raise KafkaException(KafkaError(KafkaError._ALL_BROKERS_DOWN, "it names no broker"))  # noqa: SLF001
        return set(known.topics[self._name].partitions) if self._name in known.topics else set()

    def _run(self) -> None:
        failure: Exception | None = None
        try:
            while not self._stop.is_set():
                self._read()
        except Exception as error:  # noqa: BLE001 - whatever it is, the server must hear of it
            failure = error
        with suppress(RuntimeError):  # the loop is closed: nobody is left to hear
            self._loop.call_soon_threadsafe(self._tell_end, failure)

    def _tell_end(self, failure: Exception | None) -> None:
        if self.ended.done():
            return
        if failure is None:
            self.ended.set_result(None)
        else:
            self.ended.set_exception(failure)

    def _read(self) -> None:
        # The first is waited for; a batch would be waited for until it is full.
        messages = self._consumer.consume(1, POLL_SECONDS)
        if messages:
            messages += self._consumer.consume(BATCH, 0)
        records = [record for message in messages if (record := self._record(message)) is not None]
        if records:
            self._hand_over(records)
        self.lag = self._behind()
        if self._contact.time_to_ask():
            self._refresh()

    def _behind(self) -> dict[int, int]:
        behind = {}
        for number, offset in self._next.items():
            _, high = self._consumer.get_watermark_offsets(TopicPartition(self._name, number), cached=True)
            if offset >= 0 and high >= 0:
                behind[number] = max(0, high - offset)
        return behind

    def _hand_over(self, records: list[Record]) -> None:
        put = asyncio.run_coroutine_threadsafe(self._batches.put(records), self._loop)
        while not self._stop.is_set():
            with suppress(NotYet):
                return put.result(POLL_SECONDS)
        put.cancel()
        return None

    def _refresh(self) -> None:
        try:
            fresh = sorted(self._find(ANSWER_SECONDS) - self._next.keys())
        except KafkaException as error:
            self.away = True
            self._complain("kafka does not say which partitions there are", error.args[0].str())
            if self._contact.lost():
                self._read_anew()
            return
        self._contact.heard()
        self.away = False
        if fresh:
            self._consumer.incremental_assign([TopicPartition(self._name, at, OFFSET_BEGINNING) for at in fresh])
            self._next |= dict.fromkeys(fresh, OFFSET_BEGINNING)

    def _read_anew(self) -> None:
        """Go on with another client, where this one was.

        All that it handed over went to the event loop before this; what it had fetched beyond is fetched again.
        """
        try:
            fresh = Consumer(self._properties)
        except KafkaException as error:
            self._complain("no new client of kafka can be made", error.args[0].str())
            return
        log.warning("kafka has not answered for a while: a new client is made, which may find it where this one cannot")
        self._consumer.close()
        self._consumer = fresh
        self._consumer.assign(self._places())

    def _record(self, message: Message) -> Record | None:
        if (error := message.error()) is not None:
            self._complain("kafka cannot be read, clients hear nothing from other servers meanwhile", error.str())
            return None
        self._next[int(message.partition() or 0)] = int(message.offset() or 0) + 1
        try:
            return decode(message.value())
        except Malformed as wrong:
            where = f"{message.topic()}[{message.partition()}]@{message.offset()}"
            log.warning("a message that is no real-time record is passed over (%s): %s", where, wrong)
            return None

    def _complain(self, what: str, why: str) -> None:
        if time.monotonic() - self._complained > QUIET_SECONDS:
            self._complained = time.monotonic()
            log.warning("%s: %s", what, why)
