"""How long a message that failed waits before it is tried again, and when it is given up. Pure."""

from dataclasses import dataclass

JITTER = 0.2
"""How far a pause may be from its even length, as a part of it: those that failed together are not tried together."""


@dataclass(frozen=True, slots=True)
class Backoff:
    """A retry schedule: each pause twice the one before, up to the longest.

    Args:
        first: seconds before the second attempt.
        longest: seconds that the pauses double up to.
        attempts: how often a message is tried; after the last one it is dead.
    """

    first: float = 1.0
    longest: float = 300.0
    attempts: int = 10

    def __post_init__(self) -> None:
        if not 0 < self.first <= self.longest or self.attempts < 1:
            raise ValueError(f"{self}: 0 < first <= longest and attempts >= 1 must hold")

    def pause(self, attempts: int, chance: float) -> float | None:
        """Say for how many seconds to wait; None when no attempt is left.

        Args:
            attempts: how often the message has been tried, 1 or more.
            chance: a random number from 0 to 1, for the jitter.
        """
        if attempts >= self.attempts:
            return None
        even = min(self.longest, self.first * 2.0 ** min(attempts - 1, 60))
        return even * (1 + JITTER * (2 * chance - 1))
