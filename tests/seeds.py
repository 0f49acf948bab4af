"""Seeds for tests that are tried with several: other ones in each run, and named in the test's id.

The processes of a parallel run must agree on what there is to test, so its seeds follow from the run's own name
(pytest-xdist, `PYTEST_XDIST_TESTRUNUID`). OUTBOX_FUZZ_SEED plays one seed again.
"""

import os
import random

_RUN = os.environ.get("PYTEST_XDIST_TESTRUNUID") or str(random.SystemRandom().random())


def seeds(test: str, count: int = 1) -> list[int]:
    """Draw seeds for a test, or return the one that is to be played again.

    Args:
        test: any name; tests with other names have other seeds.
        count: how many.
    """
    if given := os.environ.get("OUTBOX_FUZZ_SEED"):
        return [int(given)]
    drawn = random.Random(f"{_RUN} {test}")
    return [drawn.randrange(2**32) for _ in range(count)]
