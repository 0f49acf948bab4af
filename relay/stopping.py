"""How a relay is told to stop: by signals, which wake whatever waits; and the last resort where a server hangs."""

import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from relay import events
from relay.telemetry import logs

LAST_RESORT_SECONDS = 9
"""How long after being told to stop the process ends in any case: a server that hangs must not hold it."""


class Stop:
    """Whether and since when the relay should stop; wakes whoever waits."""

    def __init__(self) -> None:
        self._at: float | None = None
        self.woken, self._wake = socket.socketpair()
        # A thread, for a signal's handler would wait until the main thread comes back from a call of C.
        self._last_resort = threading.Timer(LAST_RESORT_SECONDS, _end_in_any_case)
        self._last_resort.daemon = True

    def __call__(self) -> float | None:
        """Seconds since the relay was told to stop; None while it was not."""
        return None if self._at is None else time.monotonic() - self._at

    def now(self, _signal: int = 0, _frame: FrameType | None = None) -> None:
        """Tell the relay to stop: a signal handler, and for callers in the same process."""
        if self._at is None:
            self._at = time.monotonic()
            self._wake.send(b".")
            self._last_resort.start()

    def wait(self, seconds: float) -> bool:
        """Wait, but no longer than until told to stop; return whether it was."""
        self.woken.settimeout(seconds)
        try:
            return bool(self.woken.recv(1, socket.MSG_PEEK))
        except TimeoutError:
            return False

    def close(self) -> None:
        """Close the sockets; the process ends by itself."""
        self._last_resort.cancel()
        self.woken.close()
        self._wake.close()


@contextmanager
def stopped_by_signals() -> Iterator[Stop]:
    """Turn SIGTERM and SIGINT into a stop while the context lasts.

    SIGHUP too: of a terminal that is gone, or of a supervisor that wants new settings and starts the relay anew.
    """
    stop = Stop()
    before = {number: signal.signal(number, stop.now) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        stop.close()


def _end_in_any_case() -> None:
    """End the process where it stands, for a statement that is never answered holds every orderly way out.

    Its sessions end with it, and so do its leases; what it published and did not record is published once more.
    """
    logs.tell(events.EndedWithoutAnswer(LAST_RESORT_SECONDS))
    os._exit(1)
