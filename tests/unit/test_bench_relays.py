"""The rate of several relays at once."""

from relay.bench.child import Work
from relay.bench.relays import rate


def test_it_is_over_the_time_from_the_first_start_to_the_last_end() -> None:
    first = Work(messages=600, seconds=2.0, ended=102.0, cpu_seconds=1.0, peak_bytes=1)
    second = Work(messages=400, seconds=3.0, ended=104.0, cpu_seconds=1.0, peak_bytes=1)
    assert rate(1000, [first, second]) == 1000 / 4


def test_what_was_sent_twice_counts_once() -> None:
    twice = Work(messages=1500, seconds=2.0, ended=102.0, cpu_seconds=1.0, peak_bytes=1)
    assert rate(1000, [twice]) == 500
