"""Publishing messages each alone in its batch, to find out which of them Kafka refuses, and whether a topic is there.

Kafka judges batches: one message that is too large fails all that share its batch. So an error blames a message only
when it was alone. Slower, hence only for what Kafka has not taken with others, and for what has failed before; by a
producer of its own, so that its failures disturb no other batch.
"""

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Message

from relay.blame import Fault, blames_broker
from relay.errors import BrokerUnreachable
from relay.hold import Failure
from relay.message import Row
from relay.publishing.envelope import Envelope
from relay.publishing.producer import (
    ALONE,
    NOT_ACKNOWLEDGED,
    TAKEOVER,
    Fatal,
    PatientProducer,
    Silence,
    StillOurs,
    failure,
    make,
    refused,
    serve,
    settle,
    take_back,
)
from relay.publishing.routing import Routes
from relay.publishing.waking import topics_of

LOOK_SECONDS = 2.0
"""How long to wait for Kafka's word on which partitions have a leader."""


@dataclass(slots=True)
class Answers:
    """What Kafka said of each message."""

    found: dict[int, Failure | None] = field(default_factory=dict)
    """By `seq`: None where it was published. A message that is missing was not answered for."""
    broker: Failure | None = None
    """Why any is missing."""


class Alone:
    """Sends messages each alone in its batch.

    Args:
        properties: librdkafka properties of the user, `bootstrap.servers` among them.
        envelope: makes a message's headers.
        routes: where logical topics go.
        takeover: seconds after which other relays take the shards of one that hangs.
    """

    def __init__(
        self, properties: Mapping[str, Any], envelope: Envelope, routes: Routes, takeover: float = TAKEOVER
    ) -> None:
        self._properties = properties
        self._takeover = takeover
        self._envelope = envelope
        self._routes = routes
        self._producer: PatientProducer | None = None

    def close(self) -> None:
        """Drop what is queued."""
        if self._producer is not None:
            take_back(self._producer)
        self._producer = None

    def publish(self, rows: Sequence[Row], still_ours: StillOurs, *, doubted: bool = False) -> Answers:
        """Send some messages, no two of one topic and key among them, and wait for all answers.

        Args:
            rows: what to send.
            still_ours: called at least every half second.
            doubted: whether silence speaks against their topics though nothing else was acknowledged meanwhile: they
                have failed before, and go apart from all others.

        Raises:
            Whatever `still_ours` raises; what was queued is taken back first.
        """
        answers = Answers()
        whole = False
        try:
            silence = self._send(rows, answers, still_ours)
            whole = silence is None and answers.broker is None
        finally:
            if not whole:
                self.close()
        if silence:
            self._explain(rows, silence, answers, doubted=doubted)
        return answers

    def serve(self) -> None:
        """Hear what the producer has to say while it has nothing to send."""
        if self._producer is not None:
            try:
                serve(self._producer)
            except Fatal:
                self.close()

    def _send(self, rows: Sequence[Row], answers: Answers, still_ours: StillOurs) -> Silence | None:
        """Send, and note what Kafka says of each; return that it has said nothing of some."""
        began = time.monotonic()
        producer, errors = self._ready(), dict[int, KafkaError | None]()
        for row in rows:
            if refusal := self._queue(producer, row, _answer(errors, row[1])):
                answers.found[row[1]] = refusal
        silence = None
        try:
            silence = settle(producer, began, still_ours, lambda: False)
        except Fatal as fatal:
            answers.broker = fatal.failure
        if silence:
            # What is answered for as not published must not go out by itself a moment later, behind whatever is done
            # about it.
            take_back(producer)
        for number, told in errors.items():
            if told is None or not blames_broker(told):
                answers.found[number] = None if told is None else failure(told)
            elif silence is None:
                answers.broker = answers.broker or failure(told)
        return silence

    def _explain(self, rows: Sequence[Row], silence: Silence, answers: Answers, *, doubted: bool) -> None:
        """Tell a topic that Kafka is silent about from a Kafka that is silent."""
        missing = [row for row in rows if row[1] not in answers.found]
        away = self.away({row[3] for row in missing}, others_went=silence.others_went or doubted)
        answers.found |= {row[1]: away[row[3]] for row in missing if row[3] in away}
        if any(row[3] not in away for row in missing):
            answers.broker = silence.failure

    def away(self, topics: Collection[str], *, others_went: bool) -> dict[str, Failure]:
        """Which of some logical topics cannot be written to, by Kafka's own word.

        A topic that does not exist is not among them: writing to it may make it.

        Args:
            topics: the logical topics that are in doubt.
            others_went: whether Kafka was silent about these while it acknowledged others; then all are away, provided
                that it answers at all.

        Raises:
            BrokerUnreachable: it does not, for Kafka and the relay do not accept each other any more. Who begins anew
                reads passwords and certificates anew, which no producer ever does. (One broker of several that does
                not accept the relay is silent, and takes no other's topics along.)
        """
        producer = self._ready()
        try:
            # All topics: to ask for one by name may create it.
            known = topics_of(producer, LOOK_SECONDS).topics
        except KafkaException:
            self.serve()
            if refusal := refused(producer):
                raise BrokerUnreachable(f"kafka and the relay do not accept each other: {refusal}") from None
            return {}
        except TimeoutError:
            self.close()
            return {}
        found: dict[str, Failure] = {}
        for logical in topics:
            about = known.get(self._routes(logical) or "")
            headless = sorted(at.id for at in about.partitions.values() if at.leader < 0) if about else []
            if headless:
                text = (
                    f"partition {', '.join(map(str, headless))} has no leader; start the brokers that have its replicas"
                )
                found[logical] = Failure(Fault.DESTINATION, "LEADER_NOT_AVAILABLE", text)
            elif others_went:
                text = "not acknowledged within 10 s while others were; see to the brokers that lead its partitions"
                found[logical] = Failure(Fault.DESTINATION, NOT_ACKNOWLEDGED, text)
        return found

    def _queue(self, producer: PatientProducer, row: Row, answer: Callable[..., None]) -> Failure | None:
        """Queue one message; return the refusal of one that cannot even be queued."""
        topic = self._routes(row[3])
        if topic is None:
            return Failure(Fault.DESTINATION, "NOT_LISTED", self._routes.refusal(row[3]))
        try:
            producer.produce(topic, row[6], row[4], headers=self._envelope(row), on_delivery=answer)
        except KafkaException as error:
            return failure(error.args[0])
        return None

    def _ready(self) -> PatientProducer:
        if self._producer is None:
            self._producer = make(self._properties, _nobody, self._takeover, **ALONE)
        return self._producer


def _answer(errors: dict[int, KafkaError | None], number: int) -> Callable[[KafkaError | None, Message], None]:
    def answer(error: KafkaError | None, _: Message) -> None:
        errors[number] = error

    return answer


def _nobody(_error: KafkaError, _topic: str) -> None:
    """Every message here has an answer of its own."""
