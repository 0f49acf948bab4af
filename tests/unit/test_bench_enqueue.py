"""What the measurement of enqueueing reads, and which databases it keeps away from."""

import json

import pytest

from app_integration.bench import many, new_message, one, own_database, ready
from relay.bench.enqueue import FASTER, PLAIN, medians


def test_each_way_has_the_median_of_its_repetitions() -> None:
    answer = {"one": {"enqueue": [3.0, 1.0, 2.0]}, "many": {"copy": [4.0, 6.0]}}
    assert medians(json.dumps(answer)) == {"one": {"enqueue": 2.0}, "many": {"copy": 5.0}}


def test_what_is_compared_is_what_is_measured() -> None:
    assert set(one()) == {"enqueue", "insert"}
    assert set(many()) == {"enqueue_many", *PLAIN, *FASTER}


def test_a_message_is_of_the_size_that_all_figures_are_of() -> None:
    (row,) = ready(1)
    assert row.payload is not None
    assert 280 <= len(row.payload) <= 320
    assert new_message().key != row.key


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("", "must be a URL"),
        ("shop", "must be a URL"),
        ("postgresql://user:secret@host/shop", "'shop'"),
        ("postgresql://user:secret@host", "None"),
    ],
)
def test_any_database_but_a_throwaway_one_is_refused(url: str, told: str) -> None:
    with pytest.raises(ValueError, match="DATABASE_URL") as refused:
        own_database(url)
    assert told in str(refused.value)
    assert "secret" not in str(refused.value)


def test_a_throwaway_one_is_opened_by_psycopg() -> None:
    assert own_database("postgresql://user@host:1/relay_bench_1").drivername == "postgresql+psycopg"
