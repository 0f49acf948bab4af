"""What the lanes may send by: the loop's word that the shards are still ours, given no longer than a moment ago.

Lanes run on threads of their own, and only the loop asks PostgreSQL. After a process stood still, a lane may be the
first to wake: it would find its last wave acknowledged and send the next, of shards that another relay has by now
(tried). So a lane waits here for the loop's word when the last one is old.

Guarantees: who passes `ask` was permitted within the last `GRACE` seconds. Knows neither PostgreSQL nor Kafka.
"""

import math
import threading
import time
from collections.abc import Collection

from relay.publishing.producer import GRACE

STUCK_SECONDS = 10.0
"""A lane asks at least every half second. One that does not ask for so long is stuck in a call."""


class CalledOff(Exception):
    """The page was called off while it was being published."""


class Permit:
    """The permission to publish one page through some lanes.

    Args:
        lanes: how many.
        since: when the loop began to make sure that the shards are ours, by the monotonic clock.
    """

    def __init__(self, lanes: int, since: float) -> None:
        self._changed = threading.Condition()
        self._granted = since
        self._called_off = False
        self._asked = [time.monotonic()] * lanes

    def renew(self, since: float) -> None:
        """Give the loop's word again.

        Args:
            since: when it began to make sure; the answer may have come long before the process went on to read it.
        """
        with self._changed:
            self._granted = since
            self._changed.notify_all()

    def call_off(self) -> None:
        """End the page: whoever asks from now on gets an error."""
        with self._changed:
            self._called_off = True
            self._changed.notify_all()

    def ask(self, lane: int) -> None:
        """Return when the loop's word is fresh.

        Raises:
            CalledOff: the page is over.
        """
        self._asked[lane] = time.monotonic()
        if self._settled():
            return
        # Who waits for the loop's word, however long the loop takes, is not stuck.
        self._asked[lane] = math.inf
        with self._changed:
            self._changed.wait_for(self._settled)
        self._asked[lane] = time.monotonic()

    def stuck(self, lanes: Collection[int]) -> bool:
        """Whether any of some lanes has not asked for too long."""
        now = time.monotonic()
        return any(now - self._asked[lane] > STUCK_SECONDS for lane in lanes)

    def _settled(self) -> bool:
        if self._called_off:
            raise CalledOff
        return time.monotonic() - self._granted <= GRACE
