"""Held messages are sent by turns, not in a hurry, and it is known when nothing is due."""

import threading
from collections.abc import Iterator
from contextlib import closing

import pytest

from relay.events import Event
from relay.flow import Flow
from relay.hold import Failure, Hold, Scope
from relay.holding.custody import Custody
from relay.holding.held import Held
from relay.holding.retries import LOOK_SECONDS, Retries, Stuck
from relay.policy import OnFailure, Policy, Rule
from relay.publishing.delivery import Delivery
from tests.faults.world import wait_until
from tests.integration.test_held import ALL, REFUSED, Session, held, messages, session
from tests.unit.test_delivery import Kafka, KafkaAlone

__all__ = ["held", "session"]


@pytest.fixture
def kafka() -> Kafka:
    return Kafka()


@pytest.fixture
def retries(held: Held, kafka: Kafka) -> Iterator[Retries]:
    delivery = Delivery(kafka, KafkaAlone(kafka), Policy(Rule(OnFailure.BLOCK_KEY, 3)))
    with closing(Retries(held, lambda: delivery, Flow())) as made:
        yield made


@pytest.fixture
def told() -> list[Event]:
    return []


@pytest.fixture
def custody(held: Held, retries: Retries, told: list[Event]) -> Custody:
    return Custody(held, retries, 100, told.append)


def send(retries: Retries) -> None:
    """Look, and send what is due; what becomes of it is not recorded, so it stays due."""
    retries.look_soon(sweep=True)
    assert retries.look(ALL)
    wait_until(lambda: retries.finished() is not None, 10)


def test_neither_failed_nor_scheduled_messages_keep_those_waiting_that_may_go(
    session: Session, held: Held, retries: Retries, kafka: Kafka
) -> None:
    failed, scheduled, waiting = messages(session, ("t", "a"), ("t", "b"), ("t", "c"))
    held.write([Hold(failed, Scope.KEY, REFUSED, 1, 0.0), Hold(scheduled, Scope.NONE), Hold(waiting, Scope.KEY)])
    session.execute("update outbox.held set due_at = now() where seq = %s", (scheduled[1],))
    for _ in range(3):
        send(retries)
    assert sorted(row[1] for row in kafka.log) == [failed[1], scheduled[1], waiting[1]]


def test_kafka_that_refuses_at_once_is_not_asked_again_at_once(
    session: Session, custody: Custody, kafka: Kafka, told: list[Event]
) -> None:
    kafka.down_after = 0
    (failed,) = messages(session, ("t", "a"))
    custody.write([Hold(failed, Scope.KEY, REFUSED, 1, 0.0)])

    def was_told() -> bool:
        custody.tend(ALL)
        return bool(told)

    wait_until(was_told, 10)
    assert custody.retries.seconds_until_due() > LOOK_SECONDS / 2


def test_what_is_tried_again_and_hangs_is_told_and_does_not_pass_for_work(
    session: Session, held: Held, retries: Retries, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("relay.publishing.permit.STUCK_SECONDS", 0.2)
    goes_on = threading.Event()

    def hang(*_: object, **__: object) -> dict[str, Failure]:
        goes_on.wait(30)
        return {}

    monkeypatch.setattr(KafkaAlone, "away", hang)
    (failed,) = messages(session, ("t", "a"))
    held.write([Hold(failed, Scope.KEY, REFUSED, 1, 0.0)])
    retries.look_soon(sweep=True)
    assert retries.look(ALL)
    try:
        with pytest.raises(Stuck):
            wait_until(lambda: retries.finished() is not None, 10)
    finally:
        goes_on.set()


def test_nothing_counts_as_due_only_when_all_was_looked_at_since_something_was_set_aside(retries: Retries) -> None:
    retries.look(ALL)
    found = [retries.nothing_due]
    for sweep in (False, True):
        retries.look_soon(sweep=sweep)
        retries.look(ALL)
        found.append(retries.nothing_due)
    assert found == [True, False, True]


def test_message_that_is_read_once_more_waits_behind_nobody(session: Session, custody: Custody) -> None:
    held, again = messages(session, ("t", "a"), ("t", "b"))
    holds = [Hold(row, Scope.KEY, REFUSED, 1, 60.0) for row in (held, again)]
    for hold in holds:
        custody.waits.add(hold)
    custody.write(holds[:1])
    custody.note(holds[:1])
    custody.forget(holds)
    assert (custody.waits.behind(held), custody.waits.behind(again)) == (Scope.KEY, None)
