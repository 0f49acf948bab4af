"""A message that is sent alone: what is said of it holds, and what Kafka's client says meanwhile is heard."""

import pytest

from relay.blame import Fault
from relay.configuration.settings import Settings
from relay.message import Row
from relay.publishing.alone import Alone
from relay.publishing.envelope import envelope
from relay.publishing.lane import Lane
from relay.publishing.routing import Routes
from tests.faults.broker import NOT_ENOUGH_REPLICAS, TOPIC, refusing_broker
from tests.faults.world import wait_until


def still_ours() -> None:
    """Nobody takes anything from us here."""


def test_message_that_is_said_not_to_be_published_does_not_go_out_by_itself() -> None:
    with refusing_broker() as broker:
        properties = {"bootstrap.servers": broker.brokers, "retry.backoff.max.ms": "500"}
        alone = Alone(properties, envelope("id", ""), Routes(Settings.model_construct()))
        # For longer than it is waited for, 10 s, and for less than librdkafka would keep it, 23 s.
        broker.refuse(*[NOT_ENOUGH_REPLICAS] * 17)
        row: Row = (3, 1, "id-1", TOPIC, "k", None, b"x", None, None, '"2026-01-01T00:00:00+00:00"', False, 100)
        answers = alone.publish([row], still_ours, doubted=True)
        failure = answers.found[1]
        assert failure is not None
        assert (failure.fault, answers.broker) == (Fault.DESTINATION, None)
        assert broker.written(1, 8) == []
        wait_until(lambda: alone.publish([row], still_ours).found.get(1, failure) is None, 30)
        assert broker.written(1) == [b"x"]
        alone.close()


@pytest.mark.parametrize("kind", [Alone, Lane])
def test_what_the_client_says_while_kafka_is_away_does_not_pile_up(kind: type[Alone | Lane]) -> None:
    sender = kind({"bootstrap.servers": "127.0.0.1:1"}, envelope("id", ""), Routes(Settings.model_construct()))
    if isinstance(sender, Alone):
        assert sender.away({"t"}, others_went=False) == {}
    producer = sender._producer
    assert producer is not None
    wait_until(lambda: len(producer) > 1, 20)
    sender.serve()
    assert len(producer) <= 1
    sender.close()
