"""The reading half of the judge: an ordinary consumer of every partition, from the beginning.

The judge's only import of confluent_kafka. Guarantees: each partition's messages are yielded in the order of
their offsets and none is passed over (an offset that Kafka no longer has is an error, not a jump); nothing is
committed, so that it leaves no consumer group behind; topics and partitions that appear later, or are made
again after they were deleted, are read from their beginning too; a broker that is away is waited for, and a client
that does not find back to it is replaced by another, which begins where that one was. It knows nothing of relays, nor
of what should be there.
"""

import json
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any
from uuid import uuid4

from confluent_kafka import (
    OFFSET_BEGINNING,
    Consumer,
    IsolationLevel,
    KafkaError,
    KafkaException,
    Message,
    TopicCollection,
    TopicPartition,
)
from confluent_kafka.admin import (  # type: ignore[attr-defined] # public, but not re-exported for type checkers
    AdminClient,
    OffsetSpec,
)

from relay.judge.deafness import Deafness, Partition
from relay.judge.verdict import Seen

REFRESH_SECONDS = 1.0
BATCH = 2000
WAIT_SECONDS = 0.1
METADATA_SECONDS = 5.0

PASSING = frozenset(
    {
        KafkaError._TRANSPORT,  # noqa: SLF001 - librdkafka's own error codes carry an underscore
        KafkaError._ALL_BROKERS_DOWN,  # noqa: SLF001
        KafkaError._TIMED_OUT,  # noqa: SLF001
        KafkaError._RESOLVE,  # noqa: SLF001
        KafkaError.LEADER_NOT_AVAILABLE,
        KafkaError.NOT_LEADER_FOR_PARTITION,
        KafkaError.UNKNOWN_TOPIC_OR_PART,  # a topic just made, not yet known to every broker, or just deleted
        KafkaError.UNKNOWN_TOPIC_ID,
        KafkaError._UNKNOWN_TOPIC,  # noqa: SLF001
        KafkaError._UNKNOWN_PARTITION,  # noqa: SLF001
        KafkaError.REQUEST_TIMED_OUT,
        KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
        KafkaError.GROUP_AUTHORIZATION_FAILED,
    }
)
"""What a broker's absence looks like from a consumer, and what is said of the group, of which nothing is wanted here;
anything else ends the judge."""

NOTHING: Mapping[str, str] = MappingProxyType({})


class Reader:
    """Reads topics from their beginning."""

    def __init__(
        self, brokers: str, topics: Sequence[str], counter: str | None = None, kafka: Mapping[str, str] = NOTHING
    ) -> None:
        """Connect to `brokers` (host:port, comma separated); nothing is read before `batch` is called.

        Args:
            brokers: where Kafka is.
            topics: names in Kafka; they need not exist yet.
            counter: the field of JSON payloads that holds the application's own counter of a key, if there is
            one.
            kafka: librdkafka properties that reach Kafka, such as those of TLS and SASL.
        """
        self._topics = frozenset(topics)
        self._counter = counter
        self._reached: dict[Partition, int] = {}
        self._left: dict[Partition, int] = {}
        """How far partitions were read of topics that are not there."""
        self._identities: dict[str, str] = {}
        """By which Kafka tells a topic from a later one of the same name."""
        self._refreshed = float("-inf")
        self._deafness = Deafness()
        self._asking: dict[str, Any] = {**kafka, "bootstrap.servers": brokers, "log_level": 2}
        self._reading: dict[str, Any] = {
            **kafka,
            "bootstrap.servers": brokers,
            "group.id": f"outbox-judge-{uuid4()}",  # demanded by the client, never used
            "enable.auto.commit": False,
            "isolation.level": "read_committed",
            "auto.offset.reset": "error",
            "enable.partition.eof": True,
            "allow.auto.create.topics": False,
            "reconnect.backoff.max.ms": 500,
            # A broker that has just started may deny for a moment that a topic exists; by default the client would
            # take its word for five minutes.
            "topic.metadata.refresh.interval.ms": 2000,
            "log_level": 2,  # a broker that is away is no news here: what ends the judge is raised
        }
        # A connection of its own: brokers answer in turn, and questions would wait behind an idle fetch.
        self._admin = AdminClient(self._asking)
        self._consumer = Consumer(self._reading)

    def batch(self) -> Iterator[Seen]:
        """Yield what arrives within a moment; perhaps nothing.

        Raises:
            KafkaException: Kafka answered with an error that waiting does not mend.
        """
        if time.monotonic() - self._refreshed >= REFRESH_SECONDS:
            try:
                self._find_partitions()
            except KafkaException as error:
                self._raise_unless_passing(error.args[0])
                # If Kafka is away, another client finds no more; but this one may have lost its way to it for good.
                self._admin = AdminClient(self._asking)
            else:
                self._listen_anew_if_deaf()
        # The first one is waited for; a batch would be waited for until it is full.
        messages = self._consumer.consume(1, WAIT_SECONDS) + self._consumer.consume(BATCH, 0)
        if len(messages) < BATCH:
            self._deafness.all_was_heard()
        for message in messages:
            arrived = self._arrived(message)
            if arrived is not None:
                yield arrived

    def ends(self) -> dict[Partition, int]:
        """Where each partition ends now, for readers of committed messages.

        Raises:
            KafkaException: Kafka does not answer, or a topic does not exist: then its end is not known.
        """
        self._find_partitions()
        missing = self._topics - {topic for topic, _ in self._reached}
        if missing:
            raise KafkaException(KafkaError(KafkaError.UNKNOWN_TOPIC_OR_PART, f"no such topic: {sorted(missing)}"))
        return self._ends()

    def _ends(self) -> dict[Partition, int]:
        latest = OffsetSpec.latest()  # type: ignore[no-untyped-call]
        asked = {TopicPartition(*place): latest for place in self._reached}
        answers = self._admin.list_offsets(
            asked, isolation_level=IsolationLevel.READ_COMMITTED, request_timeout=METADATA_SECONDS
        )
        return {(place.topic, place.partition): answer.result().offset for place, answer in answers.items()}

    def reached(self, ends: dict[Partition, int]) -> bool:
        """Whether everything before `ends` was read."""
        return all(self._reached[place] >= end for place, end in ends.items())

    def close(self) -> None:
        """Leave Kafka."""
        self._consumer.close()

    def _listen_anew_if_deaf(self) -> None:
        """Replace a consumer that does not bring what Kafka has.

        When the only broker has just started, it may tell clients of topics and of no broker at all. librdkafka then
        forgets the brokers that it knows, and may never look for them again, nor say so
        (https://github.com/confluentinc/librdkafka/issues/5301).
        """
        if not self._reached or not self._deafness.time_to_look():
            return
        try:
            deaf = self._deafness.found(self._reached, self._ends())
        except KafkaException:
            self._deafness.nothing_is_known()
        else:
            if deaf:
                self._listen_anew()

    def _listen_anew(self) -> None:
        self._consumer.close()
        self._consumer = Consumer(self._reading)
        # What the old one had fetched and not handed over is fetched again, and handed over for the first time.
        self._consumer.incremental_assign(
            [TopicPartition(*place, at or OFFSET_BEGINNING) for place, at in self._reached.items()]
        )

    def _find_partitions(self) -> None:
        known = self._admin.list_topics(timeout=METADATA_SECONDS).topics
        self._refreshed = time.monotonic()
        self._leave_topics_that_are_gone(known.keys())
        self._forget_topics_of_old(self._topics & known.keys())
        found = {(name, at) for name in self._topics & known.keys() for at in known[name].partitions}
        fresh = sorted(found - self._reached.keys())
        if fresh:
            begun = {place: self._left.pop(place, 0) for place in fresh}
            self._consumer.incremental_assign(
                [TopicPartition(*place, at or OFFSET_BEGINNING) for place, at in begun.items()]
            )
            self._reached.update(begun)

    def _leave_topics_that_are_gone(self, there: Collection[str]) -> None:
        """Stop reading what is deleted: the client would go on at the same offset of a later topic of that name."""
        gone = {place: at for place, at in self._reached.items() if place[0] not in there}
        if gone:
            self._consumer.incremental_unassign([TopicPartition(*place) for place in gone])
            self._left |= gone
            for place in gone:
                del self._reached[place]

    def _forget_topics_of_old(self, names: Collection[str]) -> None:
        """Leave topics that were deleted and made again, so that they are begun anew."""
        asked = (
            self._admin.describe_topics(TopicCollection(list(names)), request_timeout=METADATA_SECONDS) if names else {}
        )
        for name, answer in asked.items():
            with suppress(KafkaException):  # deleted this moment: the next look finds out what became of it
                identity = str(answer.result().topic_id)
                if self._identities.setdefault(name, identity) != identity:
                    self._identities[name] = identity
                    self._left = {place: at for place, at in self._left.items() if place[0] != name}
                    gone = [place for place in self._reached if place[0] == name]
                    self._consumer.incremental_unassign([TopicPartition(*place) for place in gone])
                    for place in gone:
                        del self._reached[place]

    def _arrived(self, message: Message) -> Seen | None:
        """Note how far its partition was read, and make it a `Seen` unless it only tells of an end."""
        error = message.error()
        if error is not None and error.code() != KafkaError._PARTITION_EOF:  # noqa: SLF001 - as above
            self._raise_unless_passing(error, (message.topic(), message.partition()))
            return None
        topic, partition, offset = message.topic(), message.partition(), message.offset()
        assert topic is not None
        assert partition is not None
        assert offset is not None
        if (topic, partition) not in self._reached:
            return None  # still of a topic that was deleted
        self._reached[topic, partition] = max(self._reached[topic, partition], offset + (error is None))
        return seen(message, topic, partition, offset, self._counter) if error is None else None

    def _raise_unless_passing(self, error: KafkaError, place: tuple[str | None, int | None] = (None, None)) -> None:
        if error.code() in PASSING:
            return
        if error.code() == KafkaError._AUTO_OFFSET_RESET:  # noqa: SLF001
            self._find_partitions()
            if place not in self._reached or self._reached[place] == 0:
                return  # of a topic that was made again, and is begun anew
        raise KafkaException(error)


def seen(message: Message, topic: str, partition: int, offset: int, counter: str | None) -> Seen:
    """Take from a message what the judge needs of it."""
    headers = dict(message.headers() or ())
    written = _text(headers.get("ce_time"))
    return Seen(
        id=_text(headers.get("ce_id")),
        topic=topic,
        key=_text(message.key()),
        partition=partition,
        offset=offset,
        n=_counter(message.value(), counter) if counter else None,
        age=round((datetime.now(UTC) - datetime.fromisoformat(written)).total_seconds(), 4) if written else None,
        replay="ce_replay" in headers,
    )


def _text(value: bytes | str | None) -> str | None:
    """Keys need not be text: what is not stays distinguishable from all else."""
    return value.decode("utf-8", "backslashreplace") if isinstance(value, bytes) else value


def _counter(payload: bytes | str | None, field: str) -> int | None:
    try:
        document = json.loads(payload or "null")
    except ValueError:
        return None
    number = document.get(field) if isinstance(document, dict) else None
    return number if isinstance(number, int) else None
