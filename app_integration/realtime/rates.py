"""How much one connection, or one user, may ask for: a token bucket. Pure: the time is given.

A bucket holds `burst` tokens and gets `per_second` new ones; whoever asks takes one, and an empty bucket says how long
to wait.
"""

from dataclasses import dataclass


@dataclass(slots=True)
class Bucket:
    """What is left to somebody.

    Args:
        per_second: tokens that come back each second.
        burst: tokens that it holds at most.
        now: the time, in seconds of any clock that only goes forward.
    """

    per_second: float
    burst: float
    now: float
    _left: float = 0.0

    def __post_init__(self) -> None:
        self._left = self.burst

    def take(self, now: float) -> float:
        """Take a token, if there is one.

        Returns:
            Seconds until there will be one; 0 when one was taken.
        """
        self._left = min(self.burst, self._left + (now - self.now) * self.per_second)
        self.now = now
        if self._left >= 1:
            self._left -= 1
            return 0.0
        return (1 - self._left) / self.per_second
