"""Whatever Kafka refuses of a batch: each message is published, held or stuck, and no order is broken.

Kafka's side is played in memory, by the rules that the tests in `tests/faults` show of a real one: it judges batches
whole, and blames a message only when it is alone.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st

from relay.blame import Fault
from relay.hold import Failure, Hold, Scope
from relay.message import Batch, Row
from relay.policy import OnFailure, Policy, Rule
from relay.publishing.alone import Alone, Answers
from relay.publishing.delivery import Delivery
from relay.publishing.outcome import Delivered, Outcome
from relay.waits import Waits

REFUSED = Failure(Fault.MESSAGE, "MSG_SIZE_TOO_LARGE", "too large")
DOWN = Failure(Fault.BROKER, "_TRANSPORT", "down")
GONE = Failure(Fault.DESTINATION, "UNKNOWN_TOPIC_OR_PART", "no such topic")


def row(shard: int, seq: int, topic: str, key: str | None, *, scheduled: bool = False) -> Row:
    return shard, seq, f"id-{seq}", topic, key, None, b"", None, None, '"2026-01-01T00:00:00+00:00"', scheduled, 300


@dataclass
class Kafka:
    """Takes what it is given, but for some messages, some topics, and everything once it is down."""

    poison: frozenset[int] = frozenset()
    gone: frozenset[str] = frozenset()
    down_after: int = 10**9
    """Requests after which it answers no more."""
    log: list[Row] = field(default_factory=list)
    requests: int = 0

    @property
    def down(self) -> bool:
        self.requests += 1
        return self.requests > self.down_after

    def publish(self, batch: Batch, _: Callable[[], None]) -> Outcome:
        if self.down:
            return Outcome(broker=DOWN)
        if away := batch.topics & self.gone:
            return Outcome(away=dict.fromkeys(away, GONE))
        rows = [row for of in batch.rows.values() for row in of]
        if any(row[1] in self.poison for row in rows):
            return Outcome(suspects=True)
        self.log += rows
        return Outcome(published=set(batch.rows))

    def serve(self) -> None:
        """Nothing is said here but in answers."""

    def close(self) -> None:
        """Nothing is queued here."""


class KafkaAlone(Alone):
    def __init__(self, kafka: Kafka) -> None:
        self.kafka = kafka

    def serve(self) -> None:
        """Nothing is said here but in answers."""

    def close(self) -> None:
        """Nothing is queued here."""

    def publish(self, rows: Sequence[Row], _: Callable[[], None], *, doubted: bool = False) -> Answers:
        del doubted  # Kafka is never silent here, it answers or is down
        if self.kafka.down:
            return Answers(broker=DOWN)
        answers = Answers()
        for each in rows:
            refusal = REFUSED if each[1] in self.kafka.poison else GONE if each[3] in self.kafka.gone else None
            answers.found[each[1]] = refusal
            self.kafka.log += [] if refusal else [each]
        return answers

    def away(self, topics: Collection[str], *, others_went: bool) -> dict[str, Failure]:
        assert topics or others_went
        return {}


@st.composite
def batches(draw: st.DrawFn) -> Batch:
    queues = st.sampled_from(
        [(1, "a", "x"), (1, "b", "x"), (1, "a", None), (2, "a", "y"), (2, "b", None), (3, "c", "z")]
    )
    drawn = draw(st.lists(st.tuples(queues, st.booleans()), max_size=300))
    rows: dict[int, list[Row]] = {}
    for seq, ((shard, topic, key), often) in enumerate(drawn):
        rows.setdefault(shard, []).append(row(shard, seq, topic, key, scheduled=not often and seq % 7 == 0))
    return Batch.of(rows)


def deliver(batch: Batch, kafka: Kafka, rule: OnFailure, waits: Waits | None = None) -> Delivered:
    delivery = Delivery(kafka, KafkaAlone(kafka), Policy(Rule(rule, 3)))
    return delivery.deliver(batch, waits or Waits(), lambda: None)


kafkas = st.builds(
    Kafka,
    st.frozensets(st.integers(0, 300), max_size=5),
    st.frozensets(st.sampled_from(["a", "b", "c"]), max_size=1),
    st.one_of(st.just(10**9), st.integers(0, 40)),
)


@given(batches(), kafkas, st.sampled_from(OnFailure))
def test_every_message_is_published_held_or_stuck(batch: Batch, kafka: Kafka, rule: OnFailure) -> None:
    delivered = deliver(batch, kafka, rule)
    published = {row[1] for rows in delivered.published for row in rows}
    held = {hold.row[1] for hold in delivered.settled()}
    assert not published & held
    assert bool(delivered.stuck) <= (delivered.broker is not None)
    for shard, rows in batch.rows.items():
        for each in rows:
            stuck = each[1] >= delivered.stuck.get(shard, 10**9)
            assert stuck or (each[1] in published) != (each[1] in held)
    assert published == {row[1] for row in kafka.log}


@given(batches(), kafkas, st.sampled_from([OnFailure.BLOCK_KEY, OnFailure.HALT]))
def test_nothing_of_a_key_passes_one_that_is_held_or_stuck(batch: Batch, kafka: Kafka, rule: OnFailure) -> None:
    delivered = deliver(batch, kafka, rule)
    waiting: dict[tuple[str, str | None], int] = {}
    for hold in [*delivered.holds]:
        if hold.scope is not Scope.NONE:
            queue = (hold.row[3], hold.row[4])
            waiting[queue] = min(hold.row[1], waiting.get(queue, hold.row[1]))
    seen: dict[tuple[str, str | None], int] = {}
    for each in kafka.log:
        queue = (each[3], each[4])
        if each[4] is not None:
            assert seen.get(queue, -1) < each[1] < waiting.get(queue, 10**9)
            seen[queue] = each[1]


@given(batches(), st.frozensets(st.integers(0, 300), max_size=5))
def test_poison_blames_nobody_else_and_costs_skipping_topics_nothing(batch: Batch, poison: frozenset[int]) -> None:
    delivered = deliver(batch, Kafka(poison), OnFailure.SKIP)
    failed = {hold.row[1] for hold in delivered.holds if hold.failure}
    there = {row[1] for rows in batch.rows.values() for row in rows if not row[10]}
    assert failed == poison & there
    assert {row[1] for rows in delivered.published for row in rows} == there - poison


def test_messages_behind_held_ones_of_earlier_pages_wait_without_being_tried() -> None:
    waits = Waits()
    waits.add(Hold(row(1, 1, "a", "x"), Scope.KEY, REFUSED, 1, 1.0))
    kafka = Kafka()
    rows = {1: [row(1, 2, "a", "x"), row(1, 3, "a", "y"), row(1, 4, "a", None), row(1, 5, "b", "x")]}
    delivered = deliver(Batch.of(rows), kafka, OnFailure.BLOCK_KEY, waits)
    assert [each[1] for each in kafka.log] == [3, 4, 5]
    assert [(hold.row[1], hold.failure) for hold in delivered.holds] == [(2, None)]


def test_ten_thousand_messages_with_one_poison_among_them_cost_few_requests() -> None:
    kafka = Kafka(frozenset({7_777}))
    rows = [row(seq % 16, seq, "a", f"k{seq % 100}") for seq in range(10_000)]
    batch = Batch.of({shard: [each for each in rows if each[0] == shard] for shard in range(16)})
    delivered = deliver(batch, kafka, OnFailure.SKIP)
    assert delivered.count == 9_999
    assert kafka.requests < 60
