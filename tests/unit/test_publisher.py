"""How a large page is shared out among the lanes, and what is known of it afterwards."""

from hypothesis import given
from hypothesis import strategies as st

from relay.blame import Fault
from relay.hold import Failure
from relay.message import Batch, Row
from relay.publishing.outcome import Outcome, together
from relay.publishing.publisher import halves

pages = st.dictionaries(
    st.integers(0, 255), st.lists(st.integers(280, 1_000_000), min_size=1, max_size=20), max_size=16
)


def row(shard: int, seq: int, size: int) -> Row:
    return shard, seq, "id", "t", "k", None, b"", None, None, '"2026-01-01T00:00:00+00:00"', False, size


def batch(sizes: dict[int, list[int]]) -> Batch:
    return Batch.of({shard: [row(shard, seq, size) for seq, size in enumerate(of)] for shard, of in sizes.items()})


def weight(half: Batch) -> int:
    return sum(row[-1] for rows in half.rows.values() for row in rows)


@given(pages)
def test_every_shard_goes_through_one_lane_whole_and_in_its_order(sizes: dict[int, list[int]]) -> None:
    whole = batch(sizes)
    one, other = halves(whole)
    assert not one.rows.keys() & other.rows.keys()
    assert {**one.rows, **other.rows} == whole.rows


@given(pages)
def test_the_lanes_differ_by_one_shard_at_most(sizes: dict[int, list[int]]) -> None:
    whole = batch(sizes)
    one, other = halves(whole)
    largest = max((sum(of) for of in sizes.values()), default=0)
    assert abs(weight(one) - weight(other)) <= largest


def test_what_one_lane_published_counts_though_the_other_failed() -> None:
    gone = Failure(Fault.DESTINATION, "UNKNOWN_TOPIC_OR_PART", "no such topic")
    silent = Failure(Fault.BROKER, "NOT_ACKNOWLEDGED", "silent")
    found = together([Outcome({1}), Outcome(broker=silent, unacknowledged={"a"}), Outcome(away={"b": gone})])
    assert found == Outcome({1}, silent, {"a"}, {"b": gone}, suspects=False)


@given(pages, st.integers(1, 20))
def test_parts_keep_every_message_and_its_order(sizes: dict[int, list[int]], number: int) -> None:
    whole = batch(sizes)
    together_again: dict[int, list[Row]] = {}
    for part in whole.parts(number):
        for shard, rows in part.rows.items():
            together_again.setdefault(shard, []).extend(rows)
    assert together_again == whole.rows
    assert sum(part.size for part in whole.parts(number)) == whole.size
