"""What the Kafka client says of itself, in the log of a worker or a real-time server: each kind once in half a minute.

To a broker that is away it connects some twenty times a second and tells of each attempt, at which an operator would
find nothing else any more.
"""

import logging
import time
from collections.abc import Callable

SECONDS = 30.0
"""In which a kind of line is told once."""


class Seldom(logging.Filter):
    """Lets a line through where none of its kind, its first word, was told lately.

    Args:
        clock: seconds that only grow.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._clock = clock
        self._told: dict[tuple[int, str], float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Say whether a line is told."""
        kind, now = (record.levelno, record.getMessage().partition(" ")[0]), self._clock()
        if now - self._told.get(kind, float("-inf")) < SECONDS:
            return False
        self._told[kind] = now
        return True


def client_log(name: str) -> logging.Logger:
    """Return the log of a client, below the log `name`."""
    found = logging.getLogger(f"{name}.kafka")
    if not found.filters:
        found.addFilter(Seldom())
    return found
