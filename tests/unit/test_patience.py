"""How long Kafka is waited for, beside the time after which another relay takes the shards."""

from hypothesis import given
from hypothesis import strategies as st

from relay.configuration.settings import FIELDS
from relay.publishing.producer import Patience


@given(st.integers(5, 300))
def test_each_bound_lies_within_the_next_and_all_within_the_takeover_time(takeover: int) -> None:
    patience = Patience.within(takeover)
    assert 1 < patience.silence <= patience.page < patience.message <= takeover - 2
    assert patience.properties["linger.ms"] < patience.properties["message.timeout.ms"] == patience.message * 1000


def test_the_takeover_time_that_is_set_by_default_shortens_nothing() -> None:
    assert Patience.within(FIELDS["takeover_seconds"].default) == Patience(10, 20, 23)
