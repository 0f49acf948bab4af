"""One thing that goes wrong, for a while, and is over: what every kind of fault is.

A fault strikes and is mended again by itself; what it leaves to mend is the relays' business alone.
"""

import random
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import NamedTuple

from tests.faults.stage import Stage


@dataclass(frozen=True, slots=True)
class Fault(ABC):
    """A fault, drawn and ready.

    Args:
        seconds: how long it lasts.
    """

    seconds: float

    @property
    @abstractmethod
    def subjects(self) -> frozenset[str]:
        """What it lays hands on; of faults at the same time no two have one in common."""

    @property
    def topics(self) -> tuple[str, ...]:
        """The topics that it brings along, which the judge must read too."""
        return ()

    @property
    def needs_calm(self) -> bool:
        """Whether all must be well when it strikes, so that of several it is the first."""
        return False

    @abstractmethod
    def befall(self, stage: Stage) -> AbstractContextManager[None]:
        """Strike when entered, mend when left."""

    def __str__(self) -> str:
        return f"for {self.seconds:.1f} s"


class Kind(NamedTuple):
    """A kind of fault."""

    name: str
    """As it stands in the tables."""
    draw: Callable[[random.Random], Fault]
    """Draws one of it."""
    weight: int = 1
    """How many of it come before every kind has come once."""


def lasting(random_: random.Random, most: float) -> float:
    """Draw how long a fault lasts: short ones are as likely as long ones are rare."""
    return round(0.1 + (most - 0.1) * random_.random() ** 2, 2)
