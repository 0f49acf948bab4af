"""Being told to stop at any moment, without leaving anything half cleaned up.

A signal becomes an exception where the program acts, and is ignored where it cleans up, which takes seconds at
most.
"""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from relay.local.process import children, signal_all

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interrupted(BaseException):
    """Somebody told the program to stop. Not an `Exception`: nobody may take it for a fault and go on."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.exit_code = 128 + number
        """What shells report of a program that a signal ended."""


class Interruption:
    """Raises `Interrupted` in the main thread, once, and only while `armed`."""

    def __init__(self) -> None:
        self._armed = False
        self._heard: Interrupted | None = None

    @contextmanager
    def armed(self) -> Iterator[None]:
        """Let signals interrupt the block."""
        try:
            self._armed = True
            yield
        except Exception as fault:
            if self._heard is None:
                raise
            # An extension module in C took the interruption for a fault, and replaced it by an error of its own.
            raise self._heard from fault
        finally:
            self._armed = False

    @contextmanager
    def handled(self) -> Iterator[None]:
        """Take the signals for the time of the block; unless armed, they do nothing."""
        before = {number: signal.signal(number, self._hear) for number in SIGNALS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _hear(self, number: int, _frame: FrameType | None) -> None:
        if self._armed:
            self._armed = False  # a second signal must not cut short the cleaning up that the first one began
            self._heard = Interrupted(number)
            raise self._heard


@contextmanager
def no_child_left() -> Iterator[None]:
    """Kill what the block started and lost track of, because it was interrupted in that very moment."""
    before = children(os.getpid())
    try:
        yield
    finally:
        signal_all([pid for pid in children(os.getpid()) if pid not in before], signal.SIGKILL)
