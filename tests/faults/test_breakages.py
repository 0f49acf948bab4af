"""A relay that breaks a promise on purpose is found out, or the campaign would prove nothing."""

import random
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.faults.breakages import BREAKAGES
from tests.faults.campaign import Script, run
from tests.faults.kinds import KINDS
from tests.faults.report import summary

TRIES = 3
SEED = random.SystemRandom().randrange(10**6)

FOUND_BY = {
    "checkpoint_before_acknowledgement": (["relay killed", "all relays killed"], "lost"),
    "floor_of_now": (["relay joins and leaves"], "lost"),
    "lease_not_checked": (["relay joins and leaves"], "repeated without a fault"),
}
"""Which faults bring each to light, and as what."""


def test_every_breakage_has_its_faults() -> None:
    assert FOUND_BY.keys() == BREAKAGES.keys()


@pytest.mark.timeout(600)
@pytest.mark.parametrize("breakage", BREAKAGES)
def test_campaign_notices(breakage: str, tmp_path: Path) -> None:
    faults, promise = FOUND_BY[breakage]
    assert any(promise in broken(breakage, faults, SEED + number, tmp_path) for number in range(TRIES))


def broken(breakage: str, faults: Sequence[str], seed: int, folder: Path) -> Sequence[str]:
    kinds = [kind for kind in KINDS if kind.name in faults]
    found = run(Script(seed, 4, kinds, at_once=[1], broken=breakage, patience=20), folder / str(seed))
    print(summary(found))
    return list(found.broken)
