import pytest

from relay.retention.chores import LATEST_SECONDS, SOONEST_SECONDS, interval
from relay.retention.ring import Slot, rotation_is_due

PERIOD = 100.0


@pytest.mark.parametrize(
    ("age", "empty", "due"),
    [
        (99.9, False, False),
        (0.0, False, False),
        (100.0, False, True),
        (1e9, False, True),
        (1e9, True, False),
        (None, False, True),
        (None, True, False),
        # The database's clock was set back: else the ring would stand still until the old time came again.
        (-1.0, False, True),
    ],
)
def test_the_ring_turns_when_todays_slot_has_rows_and_was_todays_for_long_enough(
    *, age: float | None, empty: bool, due: bool
) -> None:
    assert rotation_is_due(Slot(3, 0, empty, today=True, age=age), PERIOD) is due


def test_without_retention_it_turns_whenever_there_are_rows() -> None:
    assert rotation_is_due(Slot(3, 0, empty=False, today=True, age=0.0), 0)


def test_behind_the_last_slot_comes_the_first() -> None:
    assert [Slot(number, 0, empty=True, today=False, age=None).next for number in range(8)] == [*range(1, 8), 0]


@pytest.mark.parametrize("retention", [0, 1, 60, 3_600, 86_400, 604_800, 10**8])
def test_runs_are_neither_too_often_nor_too_rare(retention: float) -> None:
    assert SOONEST_SECONDS <= interval(retention) <= LATEST_SECONDS
    assert interval(retention) <= max(SOONEST_SECONDS, retention / 6 / 20)
