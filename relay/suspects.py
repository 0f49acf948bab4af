"""Publishing messages one by one, to find out which of them Kafka refuses.

Kafka judges batches: one message that is too large fails all that share its batch. So an error blames a message only
when it was alone in its batch. Here each is, with one message of each shard on its way at a time; a shard ends at its
first refused message, and the others go on. Slower, hence only for pages that Kafka has not taken whole.
"""

import time
from collections.abc import Callable, Mapping
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Message

from relay.blame import Fault, fault_of, mend
from relay.envelope import Envelope
from relay.message import Page, Row
from relay.outcome import Outcome, Refusal
from relay.producer import ALONE, TAKEOVER, Fatal, PatientProducer, StillOurs, make, say, settle, take_back
from relay.routing import Routes


class Suspects:
    """Sends pages message by message, by a producer of its own, so that failures disturb no other page.

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

    def publish(self, page: Page, still_ours: StillOurs) -> Outcome:
        """Send a page message by message.

        Args:
            page: what to send.
            still_ours: called at least every half second.

        Returns:
            What was published, the first refusal of each shard that met one, and whether Kafka failed meanwhile.
            Never `suspects`.

        Raises:
            Whatever `still_ours` raises; what was queued is taken back first.
        """
        outcome = Outcome(dict.fromkeys(page.rows, 0))
        whole = False
        try:
            for turn in range(max(map(len, page.rows.values()), default=0)):
                still_ours()
                self._one_of_each(page, turn, outcome, still_ours)
                if outcome.broker:
                    break
            whole = outcome.broker is None
        finally:
            if not whole:
                self.close()
        return outcome

    def _one_of_each(self, page: Page, turn: int, outcome: Outcome, still_ours: StillOurs) -> None:
        """Send the next message of each shard that goes on, and wait for all answers."""
        began = time.monotonic()
        producer = self._ready()
        going_on = {s: rows[turn] for s, rows in page.rows.items() if turn < len(rows) and s not in outcome.refusals}
        answers: dict[int, KafkaError | None] = {}
        for shard, row in going_on.items():
            if refusal := self._queue(producer, row, _answer(answers, shard)):
                outcome.refusals[shard] = refusal
        try:
            outcome.broker = settle(producer, began, still_ours, lambda: False)
        except Fatal as error:
            outcome.broker = str(error)
        for shard in going_on.keys() - outcome.refusals.keys() if not outcome.broker else answers.keys():
            self._judge(shard, going_on[shard], answers[shard], outcome)

    def _judge(self, shard: int, row: Row, error: KafkaError | None, outcome: Outcome) -> None:
        if error is None:
            outcome.published[shard] += 1
        elif fault_of(error) is Fault.BROKER:
            outcome.broker = say(error)
        else:
            outcome.refusals[shard] = _refusal(row, error)

    def _queue(self, producer: PatientProducer, row: Row, answer: Callable[..., None]) -> Refusal | None:
        """Queue one message; return the refusal of one that cannot even be queued."""
        topic = self._routes(row[3])
        if topic is None:
            return Refusal(row, self._routes.refusal(row[3]), Fault.DESTINATION)
        try:
            producer.produce(topic, row[6], row[4], headers=self._envelope(row), on_delivery=answer)
        except KafkaException as error:
            return _refusal(row, error.args[0])
        return None

    def _ready(self) -> PatientProducer:
        if self._producer is None:
            self._producer = make(self._properties, _nobody, self._takeover, **ALONE)
        return self._producer


def _refusal(row: Row, error: KafkaError) -> Refusal:
    return Refusal(row, say(error) + mend(error), fault_of(error))


def _answer(answers: dict[int, KafkaError | None], shard: int) -> Callable[[KafkaError | None, Message], None]:
    def answer(error: KafkaError | None, _: Message) -> None:
        answers[shard] = error

    return answer


def _nobody(_: KafkaError) -> None:
    """Every message here has an answer of its own."""
