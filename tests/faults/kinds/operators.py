"""What operators and their tools do while everything goes on; nothing is broken, and nothing may break."""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from relay.ring import Ring
from tests.faults.kinds.fault import Fault, Kind, lasting
from tests.faults.stage import Stage
from tests.fuzz.pruning import Pruner


@dataclass(frozen=True, slots=True)
class Pruned(Fault):
    """Slots are rotated and emptied, and old checkpoints deleted, at every moment; nothing is kept for long."""

    seed: int
    ring: type[Ring] = Ring

    @property
    def subjects(self) -> frozenset[str]:
        return frozenset({"postgres"})

    @contextmanager
    def befall(self, stage: Stage) -> Iterator[None]:
        pruner = Pruner(stage.url, self.ring, self.seed)
        try:
            yield
        finally:
            pruner.stop()


def pruned(random_: random.Random) -> Fault:
    """Draw one."""
    return Pruned(2 + lasting(random_, 4), random_.getrandbits(32))


OPERATORS = (Kind("slots rotated and emptied", pruned, 2),)
