"""A relay that publishes nothing though there may be something to publish is never called ready."""

from collections.abc import Sequence

import pytest

from relay import events
from relay.blame import Fault
from relay.hold import Failure
from relay.watching.condition import SETTLED_SECONDS, SILENT_BROKER_SECONDS, Condition

JOINED = events.Started("a", "db/shop", 16, lambda: 0)
LEASED = events.LeasesChanged(frozenset({1, 2}), frozenset(), frozenset({1, 2}))
SILENT = events.BrokerSilent(Failure(Fault.BROKER, "_TRANSPORT", "down"), 10, 1)


class Clock:
    now = 1_000.0

    def __call__(self) -> float:
        return self.now


def condition(clock: Clock, *told: events.Event) -> Condition:
    made = Condition(clock)
    for event in told:
        made.hear(event)
    return made


def test_a_relay_with_shards_and_no_trouble_is_ready() -> None:
    assert condition(Clock(), JOINED, LEASED).not_ready(None) == []


@pytest.mark.parametrize(
    ("told", "reason"),
    [
        ((), "it has not joined the others yet"),
        ((events.NotThereYet("kafka at x does not answer", 5),), "it waits to start: kafka at x does not answer"),
        ((JOINED, LEASED, events.Interrupted("gone", 1)), "it was interrupted and begins anew: gone"),
        ((JOINED,), "it holds no shard, and it is not known yet whether others hold all of them"),
        ((JOINED, LEASED, events.ReadingPaused({"a": 9}, 5)), "reading is paused, for more than held_limit = 5"),
        ((JOINED, LEASED, events.StandbysBehind("no standby", 3)), "publishing waits for standbys: no standby"),
        ((JOINED, LEASED, events.LockedOut()), "outbox.message is locked against reading"),
        ((JOINED, LEASED, SILENT), "kafka takes nothing, _TRANSPORT: down"),
    ],
)
def test_why_it_is_not_ready_is_said(told: Sequence[events.Event], reason: str) -> None:
    (found,) = condition(Clock(), *told).not_ready(None)
    assert found.startswith(reason)


@pytest.mark.parametrize(
    ("trouble", "end"),
    [
        (events.ReadingPaused({"a": 9}, 5), events.ReadingResumed()),
        (events.StandbysBehind("no standby", 3), events.StandbysCaughtUp(4)),
        (events.LockedOut(), events.LetInAgain()),
        (SILENT, events.Published([])),
        (SILENT, events.HeldPublished([])),
        (SILENT, events.BrokerBack(3)),
    ],
)
def test_what_is_over_is_no_reason_any_more(trouble: events.Event, end: events.Event) -> None:
    assert condition(Clock(), JOINED, LEASED, trouble).not_ready(0)
    assert condition(Clock(), JOINED, LEASED, trouble, end).not_ready(0) == []


def test_after_an_interruption_only_taken_shards_prove_that_it_works() -> None:
    """A full disk lets a relay join and refuses its first checkpoint, again and again."""
    clock = Clock()
    again = condition(clock, JOINED, LEASED, events.Interrupted("disk full", 1), JOINED)
    assert again.not_ready(16) == ["it holds no shard, while 16 are held by nobody"]
    again.hear(LEASED)
    assert again.not_ready(16) == []


def test_a_spare_relay_is_ready_while_others_hold_all_shards() -> None:
    clock = Clock()
    spare = condition(clock, JOINED)
    assert spare.not_ready(0) == []
    assert spare.not_ready(3) == []
    clock.now += SETTLED_SECONDS + 1
    assert spare.not_ready(3) == ["it holds no shard, while 3 are held by nobody"]


def test_a_kafka_that_took_nothing_is_forgotten_when_nobody_asks_it_any_more() -> None:
    clock = Clock()
    found = condition(clock, JOINED, LEASED, SILENT)
    clock.now += SILENT_BROKER_SECONDS + 1
    assert found.not_ready(0) == []
