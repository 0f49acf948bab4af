"""How long the disk lasts: told from what grows without a bound, and never from what does not."""

import pytest

from relay.configuration import capacity
from relay.watching.disk import UNKNOWN_BYTES, Change, Taken, runway

HOUR = 3_600.0
GB = 10**9


def taken(amount: int) -> Taken:
    """So many bytes in messages of 1,000."""
    return Taken(amount, amount, amount / 1_000)


def test_a_backlog_that_grows_fills_what_is_left() -> None:
    found = runway(taken(2 * GB), Change(1_000_000, 0, HOUR), 1_000_000, 4 * GB)
    assert (found.bytes, found.backlog_bytes) == (2 * GB, GB)
    assert found.growth_bytes_per_hour == pytest.approx(GB)
    assert found.full_in_hours == pytest.approx(2)


def test_numbers_that_rollbacks_have_drawn_are_no_growth() -> None:
    found = runway(taken(3 * GB), Change(1_000_000, 900_000, HOUR), 40, 4 * GB)
    assert found.growth_bytes_per_hour == pytest.approx(40_000)


def test_a_backlog_that_drains_has_no_end_of_disk() -> None:
    found = runway(taken(3 * GB), Change(10, 1_000, HOUR), 500, 4 * GB)
    assert found.growth_bytes_per_hour < 0
    assert found.full_in_hours is None


def test_without_a_budget_nobody_knows_when_it_is_full() -> None:
    assert runway(taken(3 * GB), Change(10, 0, HOUR), 10, None).full_in_hours is None


@pytest.mark.parametrize("enqueued", [0, 10])
def test_what_takes_all_of_its_budget_is_full_now(enqueued: int) -> None:
    assert runway(taken(5 * GB), Change(enqueued, 0, HOUR), enqueued, 4 * GB).full_in_hours == 0


def test_an_empty_outbox_of_a_moment_ago_is_nothing_to_divide_by() -> None:
    found = runway(Taken(0, 0, 0), Change(0, 0, 0.0), 0, GB)
    assert (found.backlog_bytes, found.growth_bytes_per_hour, found.full_in_hours) == (0, 0, None)
    assert runway(Taken(0, 0, 0), Change(1, 0, HOUR), 1, GB).backlog_bytes == UNKNOWN_BYTES


@pytest.mark.parametrize(
    ("text", "amount"), [("1MB", 10**6), ("200GB", 200 * GB), ("64GiB", 64 * 2**30), ("3TB", 3 * 10**12)]
)
def test_amounts_are_read_as_people_write_them(text: str, amount: int) -> None:
    assert capacity.read(text) == amount


@pytest.mark.parametrize("text", ["", "0GB", "5", "5 GB", "-1GB", "1.5GB", "5gb", "5GB ", "9999999999GB", "٣GB"])
def test_anything_else_is_refused_with_what_is_allowed(text: str) -> None:
    with pytest.raises(ValueError, match="such as"):
        capacity.read(text)


def test_amounts_are_written_short() -> None:
    found = [capacity.text(amount) for amount in (0, 12_345, 5 * 10**6, 1_234_567_890, 5 * 10**13)]
    assert found == ["0 kB", "12 kB", "5.0 MB", "1.2 GB", "50.0 TB"]
