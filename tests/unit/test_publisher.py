"""How a large page is shared out among the lanes, and what is known of it afterwards."""

from hypothesis import given
from hypothesis import strategies as st

from relay.blame import Fault
from relay.message import Horizon, Page, Position, Row
from relay.outcome import Outcome, Refusal, together
from relay.publisher import halves

HERE = Horizon("1:1:", 0)

pages = st.dictionaries(
    st.integers(0, 255), st.lists(st.integers(280, 1_000_000), min_size=1, max_size=20), max_size=16
)


def row(shard: int, seq: int, size: int) -> Row:
    return shard, seq, "id", "t", "k", None, b"", None, None, '"2026-01-01T00:00:00+00:00"', size


def page(sizes: dict[int, list[int]]) -> Page:
    rows = {shard: [row(shard, seq, size) for seq, size in enumerate(of)] for shard, of in sizes.items()}
    at = dict.fromkeys(rows, Position(HERE))
    return Page(rows, at, at, HERE, 0, None, sum(map(sum, sizes.values())))


def weight(half: Page) -> int:
    return sum(row[-1] for rows in half.rows.values() for row in rows)


@given(pages)
def test_every_shard_goes_through_one_lane_whole_and_in_its_order(sizes: dict[int, list[int]]) -> None:
    whole = page(sizes)
    one, other = halves(whole)
    assert not one.rows.keys() & other.rows.keys()
    assert {**one.rows, **other.rows} == whole.rows


@given(pages)
def test_the_lanes_differ_by_one_shard_at_most(sizes: dict[int, list[int]]) -> None:
    whole = page(sizes)
    one, other = halves(whole)
    largest = max((sum(of) for of in sizes.values()), default=0)
    assert abs(weight(one) - weight(other)) <= largest


def test_what_one_lane_published_counts_though_the_other_failed() -> None:
    refused = Refusal(row(2, 7, 300), "too large", Fault.MESSAGE)
    found = together([Outcome({1: 5}), Outcome({2: 0}, broker="away"), Outcome(suspects=True, refusals={2: refused})])
    assert found == Outcome({1: 5, 2: 0}, broker="away", suspects=True, refusals={2: refused})
