"""The durability fence: what was read is published only once a crash of PostgreSQL can no longer undo it.

A transaction that runs with `synchronous_commit = off` is visible before its commit record is on disk. Every commit
that a snapshot sees has its record below the insert position of that moment, so the fence is that position, flushed.
"""

import time

import psycopg

FLUSHED = """
-- flushed
select pg_current_wal_flush_lsn() >= %(lsn)s::pg_lsn
"""

FLUSH = """
-- flush: an xid alone does not flush, a transactional WAL message does; the session's commits are synchronous
select pg_logical_emit_message(true, 'outbox', '')
"""

PATIENCE = 0.002
"""Seconds to leave it to the applications' own commits. With an idle transaction that has inserted, nothing else
would flush for seconds."""


class Durability:
    """Waits for WAL to be flushed.

    Args:
        connection: a session whose `synchronous_commit` is on.
    """

    def __init__(self, connection: "psycopg.Connection") -> None:
        self._connection = connection

    def wait(self, lsn: str) -> None:
        """Return when all WAL up to `lsn` is on this server's disk; make it so if nobody else does."""
        deadline = time.monotonic() + PATIENCE
        while not self._flushed(lsn):
            if time.monotonic() > deadline:
                self._connection.execute(FLUSH)
                deadline = float("inf")

    def _flushed(self, lsn: str) -> bool:
        row = self._connection.execute(FLUSHED, {"lsn": lsn}).fetchone()
        assert row is not None
        return bool(row[0])
