"""A relay that breaks a promise on purpose is found out, or the campaign would prove nothing."""

import random
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from tests.faults.breakages import BREAKAGES
from tests.faults.campaign import Script, run
from tests.faults.kinds import KINDS, Fault, Kind
from tests.faults.kinds.operators import Pruned
from tests.faults.report import summary
from tests.fuzz.pruning import TrustsItsFirstLook

TRIES = 4
SEED = random.SystemRandom().randrange(10**6)

RELAYS_BROKEN: Mapping[str, tuple[Sequence[str], int, str]] = {
    "checkpoint_before_acknowledgement": (["relay killed", "all relays killed"], 3, "lost"),
    "floor_of_now": (["relay joins and leaves"], 1, "lost"),
    "lease_not_checked": (["relay joins and leaves"], 1, "repeated without a fault"),
    "held_key_forgotten": (["topic takes less"], 6, "out_of_order"),
}
"""Which faults bring each to light, how many of them, and as what."""


def test_every_breakage_has_its_faults() -> None:
    assert RELAYS_BROKEN.keys() == BREAKAGES.keys()


@pytest.mark.timeout(600)
@pytest.mark.parametrize("breakage", BREAKAGES)
def test_relay_that_breaks_a_promise_is_noticed(breakage: str, tmp_path: Path) -> None:
    names, faults, promise = RELAYS_BROKEN[breakage]
    kinds = [kind for kind in KINDS if kind.name in names]
    assert any(promise in broken(kinds, faults, SEED + number, tmp_path, breakage) for number in range(TRIES))


@pytest.mark.timeout(600)
def test_pruning_that_trusts_a_look_from_before_its_lock_is_noticed(tmp_path: Path) -> None:
    """The check's snapshot is taken before the lock is had, so what was committed in between goes with the slot."""

    def draw(random_: random.Random) -> Fault:
        return Pruned(10, random_.getrandbits(32), TrustsItsFirstLook)

    kinds = [Kind("slots emptied too soon", draw)]
    assert any("lost" in broken(kinds, 1, SEED + number, tmp_path) for number in range(TRIES))


def broken(kinds: Sequence[Kind], faults: int, seed: int, folder: Path, breakage: str | None = None) -> Sequence[str]:
    script = Script(seed, faults, kinds, at_once=[1], broken=breakage, patience=10)
    found = run(script, folder / str(seed))
    print(summary(found))
    return list(found.broken)
