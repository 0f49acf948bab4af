"""The relay's producers: their locked settings, how they are made, waited for, and emptied.

Guarantees: no producer of the relay can lose or reorder what it acknowledges, whatever a user sets; a producer that was
emptied sends nothing more. The only module besides `relay.publishing.broker` that knows how librdkafka is set up.
"""

import logging
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from relay.blame import Fault, fault_of, mend
from relay.configuration.kafka_properties import unfit
from relay.hold import Failure
from relay.publishing.refusal import Complaints, explain
from relay.publishing.waking import WAKER

LOCKED: dict[str, Any] = {
    "enable.idempotence": True,
    "acks": "all",
    # A broker that has no state of a producer id takes any first sequence number. With more requests on the wire, the
    # first may be refused for the moment and the second be written; librdkafka then counts the first as written too
    # ("implicitly acked"): a message lost without an error, tried. A page goes out in few large requests anyway.
    "max.in.flight.requests.per.connection": 1,
    # A message that failed for good must not be overtaken by the next of its key (librdkafka CONFIGURATION.md). It does
    # not hold back a request that is built already, which a broker with no state of the producer id takes, tried: so
    # no second one is ever built. Messages linger until a flush sends them, in waves that fit into one batch.
    "enable.gapless.guarantee": True,
    "batch.size": 1_000_000,
    "batch.num.messages": 1_000_000,
    # What Java's and KafkaJS's producers use by default: all producers agree on a key's partition.
    "partitioner": "murmur2_random",
    # Successes are told by the flush; a Python call for each would cost more than the message.
    "delivery.report.only.error": True,
    # The topic's own max.message.bytes decides, which only the broker knows; but a request above the broker's
    # socket.request.max.bytes (100 MiB unless set) would cost the connection and blame nobody.
    "message.max.bytes": 100_000_000,
    # The queue holds one wave.
    "queue.buffering.max.messages": 1_000_000,
    "queue.buffering.max.kbytes": 1_048_576,
    # A topic that does not exist fails in time for the rest of its page.
    "topic.metadata.propagation.max.ms": 5_000,
}

TUNING: dict[str, Any] = {
    # As fast as none even where Kafka shares the machine, and about half the bytes on wires and disks.
    "compression.type": "lz4",
    "socket.keepalive.enable": True,
    "reconnect.backoff.ms": 100,
    "reconnect.backoff.max.ms": 1_000,
}

ALONE: dict[str, Any] = {
    "batch.num.messages": 1,
    "enable.gapless.guarantee": False,
    "delivery.report.only.error": False,
    "topic.metadata.propagation.max.ms": 1_000,
}
"""How messages are sent of which one may be refused: each its own batch, since Kafka judges batches and one bad message
fails them all. Each is answered for before the next of its topic and key is sent, so there is no gap to guard."""

WAVE_BYTES = 980_000
"""What is queued between two flushes: below `batch.size` and `batch.num.messages`, so each partition's share is one
request. A larger message is alone in its wave."""

TAKEOVER = 25.0
"""Seconds, where nobody says otherwise, after which other relays take the shards of one that hangs."""

GRACE = 2.0
"""Seconds within which a relay that works is heard of by the others, and for which its own finding that the shards are
its own counts."""

SLICE = 0.5
"""Seconds between two looks at whether the shards are still ours, while Kafka is slow."""

NOT_ACKNOWLEDGED = "NOT_ACKNOWLEDGED"
"""Our own name, beside Kafka's of its errors, for a Kafka that says nothing."""

UNHEARD = logging.getLogger("relay.librdkafka")
UNHEARD.addHandler(logging.NullHandler())
UNHEARD.propagate = False
"""What librdkafka says of its connections and of fatal errors: it mends the first itself, a new producer the second,
and the page that is delayed tells of both."""


class Fatal(Exception):
    """The producer met an error that it will not recover from: it sends nothing more, and a new one is needed."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.text)
        self.failure = failure


StillOurs = Callable[[], None]
"""Raises when a shard may belong to another relay, or when it is time to stop."""


Failed = Callable[[KafkaError, str], None]
"""Is told the error and the topic in Kafka of a message that was not written."""


@dataclass(frozen=True, slots=True)
class Patience:
    """For how many seconds Kafka is waited for. Each bound lies within the next, and all within the takeover time."""

    silence: float
    """Without a single acknowledgement, until what is queued is taken back."""
    page: float
    """For a whole page, however steadily it progresses."""
    message: float
    """Until librdkafka drops a message that it has not sent (`message.timeout.ms`).

    Above `page`, for it drops the head of a partition's queue while the rest may go out, which the gapless guarantee
    does not cover. Below the takeover time by `GRACE`: so what a process has queued when it is stopped expires before
    another relay owns its shards, and never goes out late.
    """

    @classmethod
    def within(cls, takeover: float) -> "Patience":
        """Derive it from the seconds after which other relays take the shards of one that hangs."""
        message = min(25.0, takeover - GRACE)
        page = min(20.0, message - 1.0)
        return cls(min(10.0, page), page, message)

    @property
    def properties(self) -> dict[str, Any]:
        """What librdkafka is told of it."""
        milliseconds = round(self.message * 1000)
        # A message lingers for as long as it lives (librdkafka wants less by one), so that only a flush sends it: a
        # process that was stopped in the middle of a wave looks before it flushes.
        return {"message.timeout.ms": milliseconds, "linger.ms": milliseconds - 1}


class PatientProducer(Producer):
    """A producer that knows for how long it may be waited for."""

    patience: Patience
    emptied: float
    """When it last had nothing queued, by the monotonic clock."""
    complaints: Complaints
    """What it heard of its connections."""
    security: Mapping[str, Any]
    """The user's properties, to explain a refusal by."""


def make(properties: Mapping[str, Any], failed: Failed, takeover: float = TAKEOVER, **more: Any) -> PatientProducer:
    """Make a producer.

    Args:
        properties: librdkafka properties of the user, `bootstrap.servers` among them.
        failed: is told each failure, from within `poll` and `flush`.
        takeover: seconds after which other relays take the shards of one that hangs.
        more: properties that stand above the locked ones.

    Raises:
        SettingsError: librdkafka refuses the properties.
    """

    def deliver(error: KafkaError | None, message: Message) -> None:
        if error is not None:
            failed(error, message.topic() or "")

    patience = Patience.within(takeover)
    complaints = Complaints()
    ours = {**LOCKED, **patience.properties, **more, "on_delivery": deliver, "logger": UNHEARD}
    ours["error_cb"] = complaints.note
    try:
        producer = PatientProducer({**TUNING, **properties, **ours})
    except KafkaException as error:
        raise unfit(error.args[0].str()) from None
    producer.patience, producer.emptied = patience, time.monotonic()
    producer.complaints, producer.security = complaints, properties
    return producer


@dataclass(frozen=True, slots=True)
class Silence:
    """Kafka cannot be waited for any longer."""

    failure: Failure
    others_went: bool
    """Whether it acknowledged some messages and has been silent about the others since."""


def settle(
    producer: PatientProducer, began: float, still_ours: StillOurs, spoilt: Callable[[], bool]
) -> Silence | None:
    """Wait until a producer has nothing queued.

    Args:
        producer: the producer.
        began: when its first message was queued, by the monotonic clock.
        still_ours: called at least every half second.
        spoilt: whether waiting has become pointless.

    Returns:
        That Kafka cannot be waited for any longer, or None.

    Raises:
        Fatal: the producer gave up; with the gapless guarantee, at the first message that failed for good.
    """
    patience, waited = producer.patience, time.monotonic() - max(began, producer.emptied)
    queued = left = len(producer)
    if waited > patience.page:
        # Only a process that stood still takes so long. Some of it may have expired, and its rest must not go out.
        reason = f"{queued} messages not sent, for this process stood still for {waited:.0f} s"
        return Silence(Failure(Fault.BROKER, "STOOD_STILL", reason), others_went=False)
    since = time.monotonic()
    while remaining := flush(producer, SLICE):
        still_ours()
        if spoilt():
            return None
        now = time.monotonic()
        left, since = (left, since) if remaining == left else (remaining, now)
        silent = now - since > patience.silence
        if silent or now - began > patience.page:
            reason = f"{remaining} messages not acknowledged after {now - began:.0f} s"
            if refusal := producer.complaints.refusal:
                reason += f"; a broker and the relay do not accept each other: {refusal}"
            return Silence(Failure(Fault.BROKER, NOT_ACKNOWLEDGED, reason), silent and remaining < queued)
    producer.emptied = time.monotonic()
    return None


def refused(producer: PatientProducer) -> str | None:
    """Why a broker and the relay did not accept each other a moment ago, and what to do; None where they did."""
    refusal = producer.complaints.refusal
    return explain(refusal, producer.security) if refusal else None


def flush(producer: Producer, seconds: float) -> int:
    """Wait until nothing is queued or time is up; return what is left.

    Raises:
        Fatal: the producer gave up.
    """
    with _giving_up_told(), WAKER.waiting(producer, seconds):
        return producer.flush(seconds)


def serve(producer: Producer) -> None:
    """Hear what an idle producer has to say: nobody waits for it, and it would keep every word.

    Raises:
        Fatal: the producer gave up.
    """
    with _giving_up_told():
        producer.poll(0)


@contextmanager
def _giving_up_told() -> Iterator[None]:
    """Tell of a producer that gave up by `Fatal`.

    The Python client raises from within its callbacks; where a delivery report is served in the same breath, the
    interpreter wraps it in a SystemError, or has nothing left but to say that something was raised ("returned NULL
    without setting an exception").
    """
    try:
        yield
    except KafkaException as error:
        raise Fatal(_gave_up(error)) from None
    except SystemError as error:
        cause = error.__cause__
        if isinstance(cause, KafkaException):
            raise Fatal(_gave_up(cause)) from None
        raise Fatal(Failure(Fault.BROKER, "FATAL", str(error))) from None


def _gave_up(error: KafkaException) -> Failure:
    return Failure(Fault.BROKER, error.args[0].name(), error.args[0].str())


def take_back(producer: Producer) -> None:
    """Empty a producer's queues, and hear of all that was in them.

    A partition's queue is taken at once, so what went out of it is the head of its page: sending the page again
    repeats messages but swaps no first occurrences. What is on the wire may still arrive, as a repeat.
    """
    if len(producer):
        producer.purge()
        with suppress(Fatal):
            flush(producer, SLICE)


def failure(error: KafkaError) -> Failure:
    """Say of an error whose fault it is, and what to do about it."""
    return Failure(fault_of(error), error.name(), f"{error.str()}{mend(error)}")
