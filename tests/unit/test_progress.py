"""Where shards stand in memory, ahead of their checkpoints."""

from relay.message import Horizon, Page, Position, Row
from relay.reading.progress import Progress, floor_is_old

OLD, NEW = Horizon("1:1:", 0), Horizon("9:9:", 50)


def row(shard: int, seq: int) -> Row:
    return (shard, seq, f"id-{seq}", "t", "k", None, b"", None, None, '"2026-01-01T00:00:00+00:00"', False, 0)


def page(rows: dict[int, list[Row]], after: dict[int, Position]) -> Page:
    return Page(rows, dict.fromkeys(after, Position(OLD)), after, NEW, 0, None)


def test_a_settled_page_moves_its_shards_and_counts_what_was_published_and_is_unrecorded() -> None:
    progress = Progress({1: Position(OLD), 2: Position(OLD)})
    whole = page({1: [row(1, 5), row(1, 6)], 2: [row(2, 7)]}, {1: Position(NEW), 2: Position(NEW), 3: Position(NEW)})
    progress.settle(whole, {}, {2: 1})
    assert progress.positions == dict.fromkeys([1, 2, 3], Position(NEW))
    assert progress.unrecorded == {1: 2}


def test_a_message_that_is_neither_published_nor_held_leaves_its_shard_just_before_it() -> None:
    progress = Progress({1: Position(OLD)})
    progress.settle(page({1: [row(1, 5), row(1, 6), row(1, 7)]}, {1: Position(NEW)}), {1: 7}, {1: 1})
    assert progress.positions == {1: Position(OLD, NEW, 6)}
    assert progress.unrecorded == {1: 1}


def test_a_shard_whose_first_message_is_stuck_stays_where_it_was() -> None:
    before = Position(OLD, NEW, 3)
    progress = Progress({1: before})
    stuck = Page({1: [row(1, 5)]}, {1: before}, {1: Position(NEW)}, Horizon("12:12:", 60), 0, None)
    progress.settle(stuck, {1: 5}, {})
    assert progress.positions == {1: before}
    assert progress.unrecorded == {}


def test_a_page_read_ahead_counts_only_for_shards_that_came_to_stand_where_it_was_read_from() -> None:
    progress = Progress({1: Position(OLD), 2: Position(OLD, NEW, 8)})
    ahead = page({1: [row(1, 5)], 2: [row(2, 6)]}, {1: Position(NEW), 2: Position(NEW), 3: Position(NEW)})
    kept = progress.still_true(ahead)
    assert kept.rows == {1: [row(1, 5)]}
    assert set(kept.before) == set(kept.after) == {1}


def test_a_page_that_had_no_room_for_a_shard_is_not_exhausted() -> None:
    full = Page({1: [row(1, 5)]}, {1: Position(OLD), 2: Position(OLD)}, {1: Position(OLD, NEW, 5)}, NEW, 0, None)
    assert not full.exhausted
    assert Page({}, {1: Position(OLD)}, {1: Position(NEW)}, NEW, 0, None).exhausted


def test_a_checkpoint_is_due_after_its_interval_or_its_number_of_messages() -> None:
    progress = Progress({1: Position(OLD)}, since=100.0)
    assert progress.wait(100.0, 0.25, 10) is None
    progress.unrecorded = {1: 3}
    assert progress.wait(100.0, 0.25, 10) == 0.25
    assert progress.wait(101.0, 0.25, 10) == 0.0
    progress.unrecorded = {1: 10}
    assert progress.wait(100.0, 0.25, 10) == 0.0


def test_the_floor_is_renewed_only_when_the_sequence_has_run_far_ahead() -> None:
    assert not floor_is_old(1_500, 0)
    assert floor_is_old(1_501, 0)
