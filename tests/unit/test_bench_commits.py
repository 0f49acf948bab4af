import pytest

from relay.bench import commits
from relay.bench.figure import Verdict


def results(doorbell: list[float], polling: list[float]) -> commits.Results:
    found = commits.Results()
    found.rates["doorbell", "16"] = doorbell
    found.rates["polling", "16"] = polling
    return found


def test_rates_are_compared_by_their_medians_and_lap_by_lap() -> None:
    figure = commits._compared(results([900, 980, 1000], [1000, 1000, 2000]), commits.RELAYS, "16", "commits/s", "")
    assert (figure.value, figure.reference) == (980, 1000)
    assert figure.runs == pytest.approx((0.9, 0.98, 0.5))
    assert figure.verdict is Verdict.MET


def test_a_doorbell_that_costs_a_tenth_misses_the_goal() -> None:
    figure = commits._compared(results([900], [1000]), commits.RELAYS, "16", "commits/s", "")
    assert figure.verdict is Verdict.MISSED


def test_what_has_no_relay_has_no_goal() -> None:
    found = commits.Results()
    found.rates["no relay", "16"] = [10]
    found.rates["plain", "16"] = [100]
    assert commits._compared(found, commits.ALONE, "16", "commits/s", "").verdict is Verdict.REPORTED


def test_silence_is_a_share_of_all_shards_over_all_looks() -> None:
    assert commits.silent([16, 8], 16) == 0.75
    assert commits.silent([], 16) == 0


def test_the_switch_is_one_statement_for_either_direction() -> None:
    assert "disable trigger doorbell" in commits.SWITCH.format("disable")
    assert "enable trigger doorbell" in commits.SWITCH.format("enable")
