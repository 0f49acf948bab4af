"""Sleep and wake: while the relay sleeps every insert rings, while it is awake none does.

A `NOTIFY` makes commits queue behind one lock of the whole cluster, so it must not happen under load. Awake, the relay
holds an exclusive advisory lock per shard; an insert tries the shared form, and rings only when it gets it. Lock state
is immediate and leaves nothing to vacuum, which a flag in a table would.

Guarantees: none but latency. The relay polls once a second whatever the bell does, so a ring that is lost, refused or
never given costs that second. Works on a session of its own, since waiting for a lock blocks the session; the waiting
is done on a thread, since nothing that is due may wait for it.
"""

from collections.abc import Collection
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import suppress
from threading import Event

import psycopg
from psycopg import errors

from relay import locks
from relay.connection import pin

LISTEN = "listen outbox"

TRY_HOLD = """
-- try_hold: the shards whose lock was refused, because a transaction that rang is still open
select shard from unnest(%(shards)s::int[]) as shard where not pg_try_advisory_lock(%(doorbell)s, shard)
"""

QUEUE_FOR = """
-- queue_for: a waiter in the queue already makes the shared try of an insert fail
select pg_advisory_lock(%(doorbell)s, %(shard)s)
"""

RELEASE = """
-- release_doorbell: asked of the server, for a statement that was cancelled may have got some of them
select pg_advisory_unlock(classid::int, objid::int)
from pg_locks
where locktype = 'advisory' and objsubid = 2 and granted and pid = pg_backend_pid() and classid::bigint = %(doorbell)s
"""

FIRST_WAIT, LONGEST_WAIT = 0.25, 30.0
"""Seconds to stand in one queue before trying the next, doubling with each round; a session waits for one lock at a
time. At first long enough for those who hold the lock to get through a queue of commits; then longer, since whoever
still holds it has left its transaction open."""

CANCEL_SECONDS = 0.1
"""How long a cancelled statement may take to end, until it is cancelled once more."""


class Doorbell:
    """The bell of one relay.

    Args:
        connection: a session for the locks alone.
    """

    def __init__(self, connection: "psycopg.Connection") -> None:
        self._connection = connection
        self._thread = ThreadPoolExecutor(1, "outbox-doorbell")
        self._holding: Future[None] | None = None
        self._enough = Event()

    @property
    def silenced(self) -> bool:
        """Whether the relay is awake: inserts do not ring."""
        return self._holding is not None

    def close(self) -> None:
        """End the session, and with it the silence."""
        with suppress(psycopg.Error):
            self._stop_waiting()
        self._thread.shutdown()
        self._connection.close()

    def silence(self, shards: Collection[int]) -> None:
        """Stop inserts into some shards from ringing, as soon as those that rang have ended. Returns at once."""
        if self._holding is None:
            self._enough.clear()
            self._holding = self._thread.submit(self._hold, list(shards))

    def _hold(self, shards: list[int]) -> None:
        refused = self._connection.execute(TRY_HOLD, {"shards": shards, "doorbell": locks.DOORBELL}).fetchall()
        waiting, seconds = [shard for (shard,) in refused], FIRST_WAIT
        while waiting and not self._enough.is_set():
            pin(self._connection, "lock_timeout", f"{seconds:.0f}s" if seconds >= 1 else f"{seconds * 1000:.0f}ms")
            waiting = [shard for shard in waiting if not self._enough.is_set() and not self._queue_for(shard)]
            seconds = min(seconds * 2, LONGEST_WAIT)

    def _queue_for(self, shard: int) -> bool:
        """Wait for one lock; return whether it is held now."""
        try:
            self._connection.execute(QUEUE_FOR, {"shard": shard, "doorbell": locks.DOORBELL})
        except (errors.LockNotAvailable, errors.QueryCanceled):
            return False
        return True

    def check(self) -> None:
        """Raise what went wrong on the thread, or with the session that keeps the bell silent.

        Raises:
            psycopg.Error: the session was lost; so are its locks.
        """
        if self._holding is not None and self._holding.done():
            self._holding.result()
            self._connection.execute("-- still_there\nselect")

    def rearm(self) -> None:
        """Let inserts ring again. Returns when they do.

        Transactions that are open now may have found the relay awake and will not ring at their end: the caller looks
        for their rows without a ring, less and less often.

        Raises:
            psycopg.Error: the session was lost; so are its locks.
        """
        self._stop_waiting()
        if self._holding:
            # Cancelled in the middle of anything: whatever it holds is released now.
            with suppress(errors.QueryCanceled):
                self._holding.result()
        self._holding = None
        try:
            self._release()
        except errors.QueryCanceled:
            # By a cancellation that was meant for the wait, and came late; there is none behind it.
            self._release()

    def _release(self) -> None:
        self._connection.execute(RELEASE, {"doorbell": locks.DOORBELL})

    def _stop_waiting(self) -> None:
        """Call the thread back from its queue; it may stand in one for long."""
        self._enough.set()
        while self._holding is not None and not self._holding.done():
            # A cancellation that comes between two statements is lost, so once is not always enough.
            self._connection.cancel_safe(timeout=5)
            wait([self._holding], CANCEL_SECONDS)
