"""When a judge takes its consumer for deaf: soon, but not while it is only slow."""

import pytest

from relay.judge.deafness import Deafness

A, B = ("letters", 0), ("letters", 1)


def test_a_partition_of_which_nothing_comes_for_two_looks_is_deaf() -> None:
    ears = Deafness()
    assert not ears.found({A: 5, B: 7}, {A: 9, B: 7})
    ears.all_was_heard()
    assert ears.found({A: 5, B: 70}, {A: 9, B: 70})


@pytest.mark.parametrize(
    ("reached", "ends"),
    [
        pytest.param({A: 9}, {A: 9}, id="what was due has come"),
        pytest.param({A: 6}, {A: 90}, id="it comes slowly"),
        pytest.param({A: 0}, {A: 9}, id="it was made again and is begun anew"),
        pytest.param({B: 0}, {B: 9}, id="it is there no longer, and another is begun"),
    ],
)
def test_who_moves_is_not_deaf(reached: dict[tuple[str, int], int], ends: dict[tuple[str, int], int]) -> None:
    ears = Deafness()
    ears.found({A: 5}, {A: 9})
    ears.all_was_heard()
    assert not ears.found(reached, ends)


def test_silence_is_not_deafness_when_there_is_nothing_to_hear() -> None:
    ears = Deafness()
    for _ in range(3):
        ears.all_was_heard()
        assert not ears.found({A: 5}, {A: 5})


def test_a_consumer_that_is_busy_with_other_partitions_is_not_deaf() -> None:
    ears = Deafness()
    ears.all_was_heard()
    assert not ears.found({A: 5, B: 0}, {A: 9, B: 10_000})
    assert not ears.found({A: 5, B: 4_000}, {A: 9, B: 10_000})
    ears.all_was_heard()
    assert ears.found({A: 5, B: 10_000}, {A: 9, B: 10_000})


def test_time_in_which_kafka_was_away_does_not_count() -> None:
    ears = Deafness()
    ears.found({A: 5}, {A: 9})
    ears.all_was_heard()
    ears.nothing_is_known()
    ears.all_was_heard()
    assert not ears.found({A: 5}, {A: 9})
    ears.all_was_heard()
    assert ears.found({A: 5}, {A: 9})


def test_a_new_consumer_has_longer_than_the_deaf_one_had_until_one_hears(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr("relay.judge.deafness.time.monotonic", lambda: now)

    def waited() -> float:
        nonlocal now
        began = now
        while not ears.time_to_look():
            now += 1
        return now - began

    def look(end: int) -> float:
        ears.all_was_heard()
        ears.found({A: 5}, {A: end})
        return waited()

    ears = Deafness()
    assert waited() == 5
    assert [look(9) for _ in range(6)] == [5, 10, 20, 30, 30, 30]
    assert look(5) == 5
