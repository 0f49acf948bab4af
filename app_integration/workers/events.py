"""What the loop tells of itself; telemetry turns it into log lines and metrics. Nouns."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from app_integration.workers.handling import Result


@dataclass(frozen=True, slots=True)
class Handled:
    """What became of messages, and how long that took."""

    results: Sequence[Result]
    seconds: float
    retried: bool = False
    """Whether they had been held."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """Something is away; the worker waits, and goes on by itself."""

    reason: str
    seconds: float
    attempt: int


@dataclass(frozen=True, slots=True)
class WentOn:
    """What was away is back."""

    after: float


@dataclass(frozen=True, slots=True)
class Standing:
    """How much is behind, now and then."""

    lag: Mapping[tuple[str, int], int]
    retrying: int
    dead: int


@dataclass(frozen=True, slots=True)
class Pruned:
    """Old rows of the inbox were deleted."""

    rows: int


Event = Handled | Waiting | WentOn | Standing | Pruned
