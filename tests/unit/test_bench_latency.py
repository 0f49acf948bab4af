"""What the latency part makes of what two loads met."""

import pytest

from relay.bench.arrivals import DIGITS, payload
from relay.bench.departures import Departures
from relay.bench.figure import Figure, Verdict
from relay.bench.latency import HELD, Load, Run, figures, percentile

MILLISECOND = 0.001


def load(whole: float, call: float = 0.0, handed: float = 0.0, lateness: float = 0.0, count: int = 200) -> Load:
    """A load whose every message met the same, in milliseconds."""
    wholes, calls, handeds = ([value * MILLISECOND] * count for value in (whole, call, handed))
    return Load(wholes, calls, handeds, lateness * MILLISECOND)


def judged(*runs: Run) -> list[Figure]:
    return list(figures(200, runs))


def test_a_percentile_is_a_value_that_was_met() -> None:
    values = [float(value) for value in range(101)]
    assert percentile(values, 50) == 50
    assert percentile(values, 99) == 99
    assert percentile([3.0] * 50, 99) == 3.0


@pytest.mark.parametrize(("whole", "verdict"), [(2.9, Verdict.MET), (3.1, Verdict.MISSED)])
def test_both_percentiles_are_judged_by_their_ratio_and_the_stages_are_only_reported(
    whole: float, verdict: Verdict
) -> None:
    middle, end, stages = judged(Run(load(whole, call=0.5, handed=1.2), load(2.0)))
    assert (middle.verdict, end.verdict, stages.verdict) == (verdict, verdict, Verdict.REPORTED)
    assert middle.value == pytest.approx(whole)
    assert middle.reference == pytest.approx(2.0)
    assert stages.value == pytest.approx(1.2)
    assert stages.reference == pytest.approx(whole)


def test_several_runs_are_shown_by_their_ratios_and_judged_by_their_median() -> None:
    runs = [Run(load(whole, call=1.0), load(2.0)) for whole in (2.0, 4.0, 3.0)]
    middle, *_ = judged(*runs)
    assert middle.value == pytest.approx(3.0)
    assert middle.runs == pytest.approx((1.0, 2.0, 1.5))


@pytest.mark.parametrize("behind", ["relayed", "direct"])
def test_a_writer_that_fell_behind_is_told_of(behind: str) -> None:
    late = HELD / MILLISECOND + 1
    run = Run(
        load(2.0, lateness=late if behind == "relayed" else 0), load(1.0, lateness=late if behind == "direct" else 0)
    )
    assert "the rate was not held: 1 % left 6 ms late or more" in judged(run)[0].note
    assert "held" not in judged(Run(load(2.0), load(1.0)))[0].note


def test_lateness_is_the_time_behind_the_schedule() -> None:
    assert Departures([1.0, 2.0], [1.5, 2.0], [3.0, 3.0]).lateness == [0.5, 0.0]


@pytest.mark.parametrize("number", [0, 7, 10**DIGITS - 1])
def test_a_payload_carries_its_number_and_has_the_size_asked_for(number: int) -> None:
    assert len(payload(number)) == 300
    assert int(payload(number)[:DIGITS]) == number
