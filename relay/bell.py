"""When to look again: listens for rings, rests while nothing is due, and decides when rings should stop.

Asleep is the ordinary state: every commit rings, and a ring is answered by reading the shards that rang. Only when
rings come faster than they are answered does the relay silence the doorbell, and reads all its shards one time after
another until they stay empty. Guarantees none but latency: it looks at least once in `poll_seconds` in any case.
"""

import select
import socket
import time
from collections.abc import Collection

import psycopg
from psycopg import Notify

from relay.doorbell import LISTEN, Doorbell

BUSY_READS = 4
"""Reads in a row that found rows, or met new rings while publishing, until the bell is silenced."""

BUSY_ROWS = 200
"""Rows in a single page that say the same at once."""

FIRST_PAUSE = 0.001
REARM_PAUSE = 0.002
"""Seconds: empty reads double the pause from the first to the second; then the bell is armed again. Behind that it
goes on doubling up to a poll, for transactions that were open at that moment will not ring."""


class Bell:
    """The ear of one relay.

    Args:
        connection: the lease session, which listens; None of its statements may wait for long.
        doorbell: the locks; None for polling only.
        poll_seconds: the longest time without a look.
        woken: a socket that becomes readable when the relay is told to stop.
    """

    def __init__(
        self, connection: "psycopg.Connection", doorbell: Doorbell | None, poll_seconds: float, woken: socket.socket
    ) -> None:
        self._connection = connection
        self._doorbell = doorbell
        self._poll = poll_seconds
        self._woken = woken
        self._rang: set[int] = set()
        self._shards: frozenset[int] = frozenset()
        self._pause: float | None = FIRST_PAUSE
        """Until the next look without a ring, doubling; None when only the slow poll is left."""
        self._looked = 0.0
        self._busy = 0
        connection.add_notify_handler(self._ring)
        if doorbell is not None:
            connection.execute(LISTEN)

    def serve(self, shards: frozenset[int]) -> None:
        """Take note of the shards held: what was gained may have rung before anyone listened."""
        self._shards = shards
        if self._doorbell and self._doorbell.silenced:
            self._doorbell.rearm()
        self._pause = FIRST_PAUSE

    def rung(self, shards: Collection[int]) -> Collection[int]:
        """Which of some shards to read now: those that rang, or all when it is time to look without a ring."""
        rang, self._rang = self._rang, set()
        now = time.monotonic()
        if self._pause is None and now - self._looked < self._poll:
            return rang & set(shards)
        self._looked = now
        return shards

    def check(self) -> None:
        """Raise when the doorbell's session is lost: commits would ring under full load, and nobody would notice."""
        if self._doorbell is not None:
            self._doorbell.check()

    def look_again(self) -> None:
        """Let the next look be at once and at all shards: more is known to be due than was read or published."""
        self._looked = 0.0

    def busy(self, rows: int, *, more: bool) -> None:
        """Hear that a read found rows; silence the bell when rings come faster than they are answered."""
        self._hear()
        self._busy = self._busy + 1 if self._rang or more else 0
        if more:
            self.look_again()
        if self._doorbell is None or self._doorbell.silenced:
            self._pause = FIRST_PAUSE
        elif rows >= BUSY_ROWS or self._busy >= BUSY_READS:
            self._doorbell.silence(self._shards)
            self._pause = FIRST_PAUSE

    def rest(self, most: float) -> None:
        """Nothing is due: wait for a ring, a stop, the next look, or `most` seconds, whichever comes first."""
        if self._pause is not None:
            self._rearm_when_quiet()
        if not self._rang:
            self._wait(min(most, self._until_look()))

    def _rearm_when_quiet(self) -> None:
        assert self._pause is not None
        if self._pause >= REARM_PAUSE and self._doorbell is not None and self._doorbell.silenced:
            self._doorbell.rearm()
            self._busy = 0
            self._pause = FIRST_PAUSE
        self._pause = min(self._pause * 2, self._poll)
        if self._doorbell is not None and self._pause >= self._poll:
            self._pause = None

    def _until_look(self) -> float:
        pause = self._poll if self._pause is None else self._pause
        return max(0.0, self._looked + pause - time.monotonic())

    def _wait(self, seconds: float) -> None:
        select.select([self._connection.fileno(), self._woken.fileno()], [], [], seconds)
        self._hear()

    def _hear(self) -> None:
        """Take what notifications have come; does not wait."""
        self._connection.pgconn.consume_input()
        while notification := self._connection.pgconn.notifies():
            self._ring(Notify(notification.relname.decode(), notification.extra.decode(), notification.be_pid))

    def _ring(self, notification: Notify) -> None:
        if notification.payload.isdecimal() and int(notification.payload) in self._shards:
            self._rang.add(int(notification.payload))
