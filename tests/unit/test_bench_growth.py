"""How much is drained for each size of payload, and what of a drain counts as its start."""

import pytest

from relay.bench.growth import SIZES, count, page_rows, rate
from relay.bench.payload import room_for
from relay.bench.scale import LONG, QUICK, STANDARD, Scale
from relay.configuration.settings import Settings


def test_the_start_is_subtracted() -> None:
    assert rate(1000, 1.1, 0.1) == pytest.approx(1000)


@pytest.mark.parametrize("start", [0.3, 0.5, 0.9])
def test_but_no_more_than_half_of_a_drain(start: float) -> None:
    assert rate(1000, 0.5, start) == pytest.approx(4000)


@pytest.mark.parametrize("scale", [QUICK, STANDARD, LONG])
def test_each_size_has_something_to_drain_and_no_more_than_300_megabytes(scale: Scale) -> None:
    for size in SIZES.values():
        messages = count(size, scale.rows)
        assert messages >= 5
        assert messages * size <= 300_000_000


def test_the_bare_loop_fetches_what_fits_into_a_page_of_the_relay() -> None:
    page = Settings()
    assert page_rows(1) == page.page_rows
    for size in SIZES.values():
        assert page_rows(size) * size <= page.page_bytes
    assert page_rows(page.page_bytes * 2) == 1


def test_a_topic_takes_the_payload_and_what_is_around_it() -> None:
    assert int(room_for(1_048_576)["max.message.bytes"]) > 1_048_576 + 1_000
    assert room_for(100) == {"max.message.bytes": "1048588"}
