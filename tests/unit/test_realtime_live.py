"""Where history meets live: whatever Kafka repeats and however late it is, a client has each entry once, in order."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app_integration.realtime.live import MOST_KEPT, Live, TooBusy


def entry(sequence: int) -> dict[str, Any]:
    return {"sequence": sequence}


STEPS = st.lists(st.sampled_from(["commit", "publish", "repeat", "begin", "ready", "leave"]), max_size=80)


@given(STEPS, st.integers(1, 3))
def test_every_client_has_every_entry_once_and_in_order(steps: list[str], clients: int) -> None:
    live: Live[int] = Live()
    committed = published = 0
    got: dict[int, list[int]] = {}
    joining: dict[int, None] = {}
    turn = 0
    for step in steps:
        turn = turn % clients + 1
        if step == "commit":
            committed += 1
        elif step == "publish" and published < committed:
            published += 1
            tell(live, got, published)
        elif step == "repeat" and published:
            tell(live, got, max(1, published - turn))
        elif step == "begin" and turn not in got and turn not in joining:
            live.begin(turn)
            joining[turn] = None
        elif step == "ready" and turn in joining:
            # What the database has now; Kafka may be far behind.
            joining.pop(turn)
            follow = live.ready(turn, committed)
            got[turn] = [*range(1, committed + 1), *(e["sequence"] for e in follow)]
        elif step == "leave":
            live.remove(turn)
            got.pop(turn, None)
            joining.pop(turn, None)
    while published < committed:
        published += 1
        tell(live, got, published)
    for had in got.values():
        assert had == list(range(1, committed + 1))


def tell(live: Live[int], got: dict[int, list[int]], sequence: int) -> None:
    assert not live.missing(sequence) or sequence == 0
    for client in live.offer(entry(sequence)):
        got[client].append(sequence)


def test_a_hole_is_told_before_it_is_passed() -> None:
    live: Live[str] = Live()
    live.begin("ada")
    assert live.ready("ada", 3) == []
    assert list(live.missing(4)) == []
    assert list(live.missing(7)) == [4, 5, 6]


def test_what_comes_before_the_history_was_read_follows_it() -> None:
    live: Live[str] = Live()
    live.begin("ada")
    for number in (4, 5, 6):
        assert live.offer(entry(number)) == []
    assert live.ready("ada", 5) == [entry(6)]
    assert live.offer(entry(6)) == []
    assert live.offer(entry(7)) == ["ada"]


def test_a_room_that_is_too_busy_to_join_refuses() -> None:
    live: Live[str] = Live()
    live.begin("ada")
    for number in range(1, MOST_KEPT + 3):
        live.offer(entry(number))
    with pytest.raises(TooBusy):
        live.ready("ada", 0)
