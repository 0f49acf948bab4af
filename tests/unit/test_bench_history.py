import pytest

from relay.bench import history
from relay.bench.figure import Verdict


def test_drains_are_compared_by_their_medians_and_run_by_run() -> None:
    figure = history._compared("drain", [90, 100], [100, 100], "without", 0.95)
    assert (figure.value, figure.reference) == (95, 100)
    assert figure.runs == pytest.approx((0.9, 1.0))
    assert figure.verdict is Verdict.MET


def test_a_poll_may_take_twice_as_long_and_no_longer() -> None:
    assert history._poll("poll", 0.002, 0.001, "").verdict is Verdict.MET
    assert history._poll("poll", 0.0021, 0.001, "").verdict is Verdict.MISSED


def test_a_poll_is_told_in_milliseconds() -> None:
    figure = history._poll("poll", 0.0005, 0.0004, "")
    assert (figure.value, figure.reference) == pytest.approx((0.5, 0.4))
    assert figure.unit == "ms"
