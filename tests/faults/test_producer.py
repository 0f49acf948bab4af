"""What the relay's producers make of a broker's errors: nothing counts as published that is not in the log."""

import time
from collections.abc import Iterator
from typing import Any

import pytest
from confluent_kafka import Producer

from relay.configuration.settings import Settings
from relay.message import Batch, Row
from relay.policy import OnFailure, Policy, Rule
from relay.publishing.alone import Alone
from relay.publishing.delivery import Delivery
from relay.publishing.envelope import envelope
from relay.publishing.lane import Lane
from relay.publishing.producer import Fatal, flush, make, settle
from relay.publishing.publisher import Publisher
from relay.publishing.routing import Routes
from relay.waits import Waits
from tests.faults.broker import (
    MESSAGE_TOO_LARGE,
    NOT_ENOUGH_REPLICAS,
    NOT_LEADER,
    TOPIC,
    UNKNOWN_PRODUCER,
    RefusingBroker,
    refusing_broker,
)

COUNT = 8
LARGE = b"." * 400_000
"""Two of these make a wave, so that a page of eight is four requests to one partition."""
VALUES = [f"m{number}".encode() + LARGE for number in range(COUNT)]


@pytest.fixture
def broker() -> Iterator[RefusingBroker]:
    with refusing_broker() as running:
        yield running


def page() -> Batch:
    rows: list[Row] = [
        (3, at, f"id-{at}", TOPIC, "k", None, value, None, None, '"2026-01-01T00:00:00+00:00"', False, len(value))
        for at, value in enumerate(VALUES)
    ]
    return Batch.of({3: rows})


def still_ours() -> None:
    """Nobody takes anything from us here."""


def publisher(broker: RefusingBroker) -> Publisher:
    how = {"bootstrap.servers": broker.brokers}, envelope("id", ""), Routes(Settings.model_construct())
    return Publisher((Lane(*how), Lane(*how)))


class WithoutAWord(Producer):
    """A client that raises in a callback and forgets what, as it does now and then while a broker stands still."""

    def flush(self, *_: Any) -> int:
        raise SystemError("<method 'flush' of 'cimpl.Producer' objects> returned NULL without setting an exception")


def test_client_that_gives_up_without_a_word_is_given_up_and_ends_no_relay(broker: RefusingBroker) -> None:
    with pytest.raises(Fatal, match="without setting an exception"):
        flush(WithoutAWord({"bootstrap.servers": broker.brokers}), 0.1)


@pytest.mark.parametrize("error", [NOT_ENOUGH_REPLICAS, NOT_LEADER, UNKNOWN_PRODUCER])
def test_first_request_that_is_refused_for_a_moment_is_not_lost(broker: RefusingBroker, error: int) -> None:
    sender = publisher(broker)
    broker.refuse(error)
    outcome = sender.publish(page(), still_ours)
    if not outcome.published:
        outcome = sender.publish(page(), still_ours)
    assert outcome.published == {3}
    assert list(dict.fromkeys(broker.written(COUNT))) == VALUES
    sender.close()


def test_several_requests_in_flight_would_lose_it(broker: RefusingBroker) -> None:
    """Shows that the test above can fail: with librdkafka's own defaults the first message is acknowledged and lost."""
    producer = make(
        {"bootstrap.servers": broker.brokers},
        lambda _error, _topic: None,
        **{"max.in.flight.requests.per.connection": 5, "linger.ms": 0, "batch.num.messages": 1},
    )
    producer.list_topics(TOPIC, 5)
    broker.refuse(NOT_ENOUGH_REPLICAS)
    for value in VALUES:
        producer.produce(TOPIC, value, "k")
    assert settle(producer, time.monotonic(), still_ours, lambda: False) is None
    assert VALUES[0] not in broker.written(COUNT, 2)


def test_nothing_is_written_behind_a_message_that_is_refused_for_good(broker: RefusingBroker) -> None:
    sender = publisher(broker)
    broker.refuse(MESSAGE_TOO_LARGE)
    outcome = sender.publish(page(), still_ours)
    assert outcome.suspects
    assert outcome.published == set()
    assert broker.written(1, 2) == []
    assert sender.publish(page(), still_ours).published == {3}
    assert list(dict.fromkeys(broker.written(COUNT))) == VALUES
    sender.close()


def test_refused_message_is_held_with_its_reason_and_those_behind_it_wait(broker: RefusingBroker) -> None:
    sender = publisher(broker)
    alone = Alone({"bootstrap.servers": broker.brokers}, envelope("id", ""), Routes(Settings.model_construct()))
    delivery = Delivery(sender, alone, Policy(Rule(OnFailure.BLOCK_KEY, 10)))
    # Once as a part of its batch, then when it is sent alone.
    broker.refuse(MESSAGE_TOO_LARGE, 0, 0, MESSAGE_TOO_LARGE)
    delivered = delivery.deliver(page(), Waits(), still_ours)
    assert [row[1] for rows in delivered.published for row in rows] == [0, 1]
    assert (delivered.broker, delivered.stuck) == (None, {})
    assert [hold.row[1] for hold in delivered.holds] == [2, 3, 4, 5, 6, 7]
    refused, *behind = delivered.holds
    assert refused.failure is not None
    assert (refused.failure.code, refused.attempts) == ("MSG_SIZE_TOO_LARGE", 1)
    assert all(hold.failure is None for hold in behind)
    assert broker.written(2) == VALUES[:2]
    delivery.close()


def test_shards_that_were_taken_away_meanwhile_end_the_page_with_nothing_queued(broker: RefusingBroker) -> None:
    sender = publisher(broker)
    broker.refuse(*[NOT_ENOUGH_REPLICAS] * 50)

    class TakenAway(Exception):
        pass

    def taken_away() -> None:
        raise TakenAway

    with pytest.raises(TakenAway):
        sender.publish(page(), taken_away)
    assert broker.written(1, 2) == []
    sender.close()


def test_shards_that_are_taken_away_end_a_page_that_kafka_takes_quickly(broker: RefusingBroker) -> None:
    sender = publisher(broker)
    asked = 0

    class TakenAway(Exception):
        pass

    def taken_away_after_two_waves() -> None:
        nonlocal asked
        asked += 1
        if asked > 2:
            raise TakenAway

    with pytest.raises(TakenAway):
        sender.publish(page(), taken_away_after_two_waves)
    assert len(set(broker.written(COUNT, 2))) < COUNT
    sender.close()
