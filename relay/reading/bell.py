"""When to look again: listens for rings, rests while nothing is due, and decides when rings should stop.

Asleep is the ordinary state: every commit rings, and a ring is answered by reading the shards that rang. Only when
rings come faster than they are answered does the relay silence the doorbell, and reads all its shards one time after
another until the load is over. Guarantees none but latency: it looks at least once in `poll_seconds` in any case.
"""

import select
import socket
import time
from collections.abc import Collection

import psycopg
from psycopg import Notify

from relay.reading.doorbell import LISTEN, Doorbell

BUSY_READS = 4
"""Pages in a row that left more behind, or met new rings while they were published, until the bell is silenced."""

BUSY_ROWS = 200
"""Rows in a single page that say the same at once."""

CALM_SECONDS, CALM_RATE = 0.25, 1_000
"""Below so many messages a second, for so long, the bell is armed again: few enough for rings to cost nothing. Long
enough for a hiccup of the disk to pass for no calm: behind it the commits of many clients would queue up behind each
other's rings, until the relay has got hold of all its locks once more."""

FIRST_PAUSE, SILENT_PAUSE = 0.001, 0.004
"""Seconds: empty reads double the pause from the first on; while the bell is silent no further than to the second, else
up to a poll, for transactions that were open when it was armed will not ring."""


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
        self._names: dict[str, int] = {}
        """The shards held, as rings name them. Any role may ring, with any text: what is no name here is no ring."""
        self._pause = FIRST_PAUSE
        """Seconds until the next look without a ring; they double, up to a poll."""
        self._looked = 0.0
        self._rows, self._since = 0, 0.0
        """What was due while the bell was silent, since when."""
        self._busy = 0
        connection.add_notify_handler(self._ring)
        if doorbell is not None:
            connection.execute(LISTEN)

    def serve(self, shards: frozenset[int]) -> None:
        """Take note of the shards held: what was gained may have rung before anyone listened."""
        self._names = {str(shard): shard for shard in shards}
        if self._doorbell and self._doorbell.silenced:
            self._doorbell.rearm()
        self._pause = FIRST_PAUSE

    def rung(self, shards: Collection[int]) -> Collection[int]:
        """Which of some shards to read now: those that rang, or all when it is time to look without a ring."""
        rang, self._rang = self._rang, set()
        if not self.silent:
            if self._until_look() > 0:
                return rang & set(shards)
            self._pause = min(self._pause * 2, self._poll)
        self._looked = time.monotonic()
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
        self._rows += rows
        self._busy = self._busy + 1 if self._rang or more else 0
        if more:
            self.look_again()
        if self.silent:
            self._pause = FIRST_PAUSE
            self._rearm_when_calm()
        elif rows >= BUSY_ROWS or self._busy >= BUSY_READS:
            self._silence()

    @property
    def silent(self) -> bool:
        """Whether no commit rings, so that only looking tells what is due."""
        return self._doorbell is None or self._doorbell.silenced

    def _silence(self) -> None:
        assert self._doorbell is not None
        self._doorbell.silence(self._names.values())
        self._pause = FIRST_PAUSE
        self._rows, self._since = 0, time.monotonic()

    def _rearm_when_calm(self) -> None:
        now = time.monotonic()
        if self._doorbell is None or now - self._since < CALM_SECONDS:
            return
        if self._rows < CALM_RATE * (now - self._since):
            self._doorbell.rearm()
            self._busy = 0
            self._pause = FIRST_PAUSE
        self._rows, self._since = 0, now

    def rest(self, most: float) -> None:
        """Nothing is due: wait for a ring, a stop, the next look, or `most` seconds, whichever comes first."""
        if self.silent:
            self._pause = min(self._pause * 2, SILENT_PAUSE if self._doorbell else self._poll)
            self._rearm_when_calm()
        if not self._rang:
            self._wait(min(most, self._until_look()))

    def _until_look(self) -> float:
        """Seconds until it is time to look at all shards without a ring."""
        return max(0.0, self._looked + self._pause - time.monotonic())

    def _wait(self, seconds: float) -> None:
        select.select([self._connection.fileno(), self._woken.fileno()], [], [], seconds)
        self._hear()

    def _hear(self) -> None:
        """Take what notifications have come; does not wait."""
        self._connection.pgconn.consume_input()
        while notification := self._connection.pgconn.notifies():
            self._ring(Notify(notification.relname.decode(), notification.extra.decode(), notification.be_pid))

    def _ring(self, notification: Notify) -> None:
        if (shard := self._names.get(notification.payload)) is not None:
            self._rang.add(shard)
