"""Whether a consumer has gone deaf: Kafka has had more for a while, and nothing comes. Pure, but for the clock.

Law: silence alone proves nothing, for perhaps there is nothing to hear; nor does a partition that stands still while
the consumer is busy with others. A partition is deaf that had more at the last look, and at this one is where it was,
though all that the consumer had in hand meanwhile was taken from it.
"""

import time
from collections.abc import Mapping

SECONDS, MOST_SECONDS = 5.0, 30.0
"""Between two looks. Twice as long after each deaf consumer, for on a slow machine a new one needs its time, too."""

Partition = tuple[str, int]
"""A topic and a partition."""


class Deafness:
    """What two looks in a row say of a consumer."""

    def __init__(self) -> None:
        self._between = SECONDS
        self._looked = time.monotonic()
        self._all_heard = False
        self._due: dict[Partition, int] = {}
        """Where partitions were read to at the last look, of those that had more."""

    def all_was_heard(self) -> None:
        """Note that the consumer has nothing in hand that was not taken from it."""
        self._all_heard = True

    def time_to_look(self) -> bool:
        """Whether the next look is due."""
        return time.monotonic() - self._looked >= self._between

    def nothing_is_known(self) -> None:
        """Note a look at which Kafka did not answer: what was due before it went away is no longer."""
        self._begin({})

    def found(self, reached: Mapping[Partition, int], ends: Mapping[Partition, int]) -> bool:
        """Say whether the consumer is deaf, and begin to wait for the next look.

        Args:
            reached: the offset that is read next, of each partition.
            ends: where each partition ends.
        """
        behind = {place: reached[place] for place, end in ends.items() if reached[place] < end}
        deaf = self._all_heard and not self._due.items().isdisjoint(behind.items())
        self._between = min(2 * self._between, MOST_SECONDS) if deaf else SECONDS
        self._begin(behind)
        return deaf

    def _begin(self, due: dict[Partition, int]) -> None:
        self._looked = time.monotonic()
        self._all_heard = False
        self._due = due
