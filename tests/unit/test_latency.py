"""The histogram that is told from text counts as one that looks at every message would."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from relay.message import Row
from relay.watching.latency import BOUNDS, READ, Latency

NOW = datetime(2026, 3, 1, 12, 30, 45, 120_000, tzinfo=UTC)

seconds = st.one_of(st.floats(-5, 0.1), st.floats(0, 10), st.floats(0, 90_000), st.sampled_from(BOUNDS))


def row(created_at: datetime) -> Row:
    """A message whose time is written as PostgreSQL writes it: without zeros at the end of a fraction."""
    text = created_at.isoformat()
    place, plus, zone = text.partition("+")
    trimmed = (place.rstrip("0") if "." in place else place) + plus + zone
    return 1, 1, "id", "t", None, None, b"", None, None, f'"{trimmed}"', False, 300


@given(st.lists(st.lists(seconds, max_size=60), max_size=5))
def test_every_message_is_in_the_bucket_of_its_age(ages: list[list[float]]) -> None:
    times = [[NOW - timedelta(seconds=age) for age in shard] for shard in ages]
    latency = Latency()
    latency.observe([[row(at) for at in shard] for shard in times], NOW.timestamp())
    took = [(NOW - at).total_seconds() for shard in times for at in shard]
    for place, bound in enumerate(BOUNDS):
        assert sum(latency.counts[: place + 1]) == sum(age <= bound for age in took)
    assert sum(latency.counts) == len(took)


@given(st.lists(seconds, min_size=1, max_size=READ))
def test_the_sum_of_a_few_is_exact_and_never_falls(ages: list[float]) -> None:
    latency = Latency()
    latency.observe([[row(NOW - timedelta(seconds=age)) for age in ages]], NOW.timestamp())
    assert abs(latency.sum - sum(max(0.0, age) for age in ages)) < 1e-3


def test_the_sum_of_many_is_close() -> None:
    latency = Latency()
    ages = [number / 100 for number in range(5_000)]
    latency.observe([[row(NOW - timedelta(seconds=age)) for age in reversed(ages)]], NOW.timestamp())
    assert abs(latency.sum / sum(ages) - 1) < 0.02


def test_the_sum_of_many_in_many_shards_is_close() -> None:
    latency = Latency()
    ages = [10 + number / 100 for number in range(10_000)]
    latency.observe(
        [[row(NOW - timedelta(seconds=age)) for age in ages[shard::16]] for shard in range(16)], NOW.timestamp()
    )
    assert abs(latency.sum / sum(ages) - 1) < 0.02
