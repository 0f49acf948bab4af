"""Rates and trails, decided without a database."""

import json

from relay.flow import Flow, Rules
from relay.message import Horizon, Page, Position, Row
from relay.reading.trails import Trails


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def row(seq: int, topic: str = "t", shard: int = 0) -> Row:
    return (shard, seq, str(seq), topic, "k", None, b"x", None, None, '"now"', False, 10)


def test_rate_is_kept_over_any_time_whatever_is_asked() -> None:
    clock = Clock()
    flow = Flow(clock=clock)
    flow.adopt(Rules(1, rates={"t": 100.0}))
    flow.hold_share(8, of=16)
    went = 0
    for _ in range(1_000):
        clock.now += 0.01
        went += len(flow.part([row(seq) for seq in range(50)])[0])
        assert went <= 50 * clock.now + 12.5
    assert went >= 50 * 10 * 0.95


def test_burst_is_bounded_after_a_long_rest_and_a_start_has_none() -> None:
    clock = Clock()
    flow = Flow({"t": 1_000.0}, clock)
    flow.hold_share(16, of=16)
    assert flow.room("t") == 0
    clock.now += 3_600
    assert flow.room("t") == 250


def test_rate_below_one_message_a_second_is_kept_too() -> None:
    clock = Clock()
    flow = Flow({"t": 0.5}, clock)
    flow.hold_share(16, of=16)
    assert flow.seconds_until("t") == 2.0
    clock.now += 2.0
    assert len(flow.part([row(1), row(2)])[0]) == 1


def test_paused_goes_before_a_rate_and_others_are_free() -> None:
    flow = Flow({"t": 5.0})
    flow.adopt(Rules(1, paused=frozenset({"t"})))
    assert flow.room("t") == 0
    assert flow.seconds_until("t") == float("inf")
    assert flow.room("other") is None


def test_what_an_operator_says_goes_before_the_setting() -> None:
    flow = Flow({"t": 5.0}, Clock())
    flow.hold_share(16, of=16)
    flow.adopt(Rules(1, rates={"t": 50.0}))
    assert round(flow.seconds_until("t"), 3) == 0.1
    flow.adopt(Rules(2))
    assert round(flow.seconds_until("t"), 3) == 0.2


S = [Horizon(f"{n}:{n}:", n) for n in range(10)]


def page(before: Position, horizon: Horizon, *rows: Row, after: Position | None = None) -> Page:
    at = after or Position(horizon)
    return Page({0: list(rows)} if rows else {}, {0: before}, {0: at}, horizon, 0, None)


def test_trail_begins_before_the_first_message_that_was_passed_over_and_never_behind_a_stuck_one() -> None:
    read = page(Position(S[1]), S[2], row(11), row(12, "u"), row(13), row(14, "u"))
    trails = Trails()
    assert trails.begin(read, {(0, "t"): 13}, {0: 12}) == frozenset()
    assert not trails
    assert trails.begin(read, {(0, "t"): 13}, {0: 14}) == {0}
    assert trails.of == {0: {"t": Position(S[1], S[2], 12)}}


def test_trail_follows_its_shard_difference_by_difference_and_ends_where_both_stand() -> None:
    trails = Trails({0: {"t": Position(S[1], S[2], 12)}})
    main = {0: Position(S[5])}
    assert trails.follow("t", main) == {0: Position(S[1], S[2], 12)}
    trails.move("t", page(Position(S[1], S[2], 12), S[9], after=Position(S[2])), {}, main)
    assert trails.follow("t", main) == {0: Position(S[2], S[5])}
    trails.move("t", page(Position(S[2], S[5]), S[9], after=Position(S[5])), {}, main)
    assert not trails
    assert trails.ended == {0}


def test_trail_that_is_ahead_of_its_shard_waits_and_never_goes_back() -> None:
    trails = Trails({0: {"t": Position(S[3])}})
    assert trails.follow("t", {0: Position(S[3], S[6], 40)}) == {0: Position(S[3], S[6])}
    trails.of[0]["t"] = Position(S[6])
    assert trails.follow("t", {0: Position(S[3], S[6], 40)}) == {}
    assert trails.follow("t", {0: Position(S[6])}) == {}
    assert not trails


def test_what_is_recorded_as_sent_of_all_topics_is_never_more_than_the_one_furthest_behind() -> None:
    main = Position(S[5], S[6], 70)
    trails = Trails({0: {"t": Position(S[5], S[6], 60)}})
    assert trails.furthest_behind(0, main) == Position(S[5], S[6], 60)
    trails.of[0]["u"] = Position(S[2], S[3], 20)
    assert trails.furthest_behind(0, main) == Position(S[2])
    assert trails.furthest_behind(1, main) == main


def test_trails_are_recorded_whole() -> None:
    trails = Trails({0: {"t": Position(S[5], S[6], 60), "u": Position(S[2])}})
    other = Trails()
    written = trails.written(0, Position(S[7]))
    assert written is not None
    assert other.read(0, json.loads(written)) == Position(S[7])
    assert other.of == trails.of


def test_message_passes_only_while_older_ones_of_its_topic_may_be_unsent() -> None:
    trails = Trails({0: {"t": Position(S[5], S[6], 60)}})
    assert trails.passes(0, "t", 61)
    assert not trails.passes(0, "t", 60)
    assert not trails.passes(0, "u", 61)
