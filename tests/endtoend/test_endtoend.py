"""Whatever is killed, each registration and each payment has each of its effects once, and each message is heard."""

import random
from pathlib import Path

import pytest

from tests.endtoend.campaign import Script, run
from tests.endtoend.result import summary

STRIKES = 14
"""Everybody is killed once; one is asked to go, one freezes, and the mail server loses two answers and delays one."""

SEED = random.SystemRandom().randrange(10**6)


@pytest.mark.timeout(900)
def test_each_registration_and_payment_has_each_effect_once_whoever_is_killed(tmp_path: Path) -> None:
    found = run(Script(SEED, STRIKES), tmp_path)
    print(summary(found))  # noqa: T201 - what it found, and the seed
    assert not found.broken
    assert all(line.due for line in found.lines)
