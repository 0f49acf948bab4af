"""Sixty faults of every kind, one after another and several at once, while writers of every kind go on."""

import random
from pathlib import Path

import pytest

from tests.faults.campaign import Script, run
from tests.faults.report import summary

FAULTS = 60
SEED = random.SystemRandom().randrange(10**6)


# A connection that is torn down in the middle of being made is the proxy's to forget, and Python's to warn of.
@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.timeout(900)
def test_sixty_faults_lose_reorder_and_invent_nothing_and_need_nobody(tmp_path: Path) -> None:
    print(f"seed {SEED}")
    found = run(Script(SEED, FAULTS), tmp_path)
    print(summary(found))
    assert not found.broken
