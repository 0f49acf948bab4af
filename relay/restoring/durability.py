"""The durability fence: what was read is published only once a crash of PostgreSQL can no longer undo it.

A transaction that runs with `synchronous_commit = off` is visible before its commit record is on disk. Every commit
that a snapshot sees has its record below the insert position of that moment, so the fence is that position, flushed: on
this server's disk, and where so set on those of its standbys too, so that a failover cannot undo it either.

The standbys are asked how far they are, and no commit waits for them. Such a commit holds its session for as long as no
standby comes, and when it is cancelled it ends without an error, with a mere warning that it may not be replicated. So
the relay's own commits wait for none: where a failover undoes one, what it recorded is published once more.
"""

import time
from collections.abc import Callable
from typing import LiteralString

import psycopg

from relay import events
from relay.errors import DatabaseUnfit
from relay.restoring.standbys import Standby, lacking

FLUSHED = """
-- flushed
select pg_current_wal_flush_lsn() >= %(lsn)s::pg_lsn
"""

FLUSH = """
-- flush: an xid alone does not flush, a transactional WAL message does; the session's commits are synchronous
select pg_logical_emit_message(true, 'outbox', '')
"""

READ_STANDBYS = """
-- read_standbys: those that stream, and whether each is a standby and has flushed; one row of nulls where there is none
select current_setting('synchronous_standby_names'), r.application_name, r.sync_state,
       r.flush_lsn >= %(lsn)s::pg_lsn,
       not exists (select from pg_replication_slots as s where s.active_pid = r.pid and s.slot_type = 'logical')
from (select) as always
left join pg_stat_replication as r on r.state = 'streaming'
"""

MAY_SEE = """
-- may_see_standbys: to others `pg_stat_replication` shows nulls
select pg_has_role('pg_read_all_stats', 'usage')
"""

PATIENCE = 0.002
"""Seconds to leave it to the applications' own commits. With an idle transaction that has inserted, nothing else
would flush for seconds."""

FIRST_PAUSE, LONGEST_PAUSE = 0.0005, 0.05
"""Seconds between two looks at the standbys, doubling: one on the next machine answers within the first few."""

TELL_SECONDS, TELL_AGAIN_SECONDS = 1.0, 30.0
"""Once so long was waited for the standbys it is told, and from then on every so often."""


class Durability:
    """Waits for WAL to be flushed.

    Args:
        connection: a session whose `synchronous_commit` is `local` or higher.
        replicated: whether the standbys must have flushed it too.
        tell: hears of waits that take long.

    Raises:
        DatabaseUnfit: the role may not see how far the standbys are, and would need to.
    """

    def __init__(
        self, connection: "psycopg.Connection", *, replicated: bool = False, tell: events.Tell = lambda _: None
    ) -> None:
        self._connection = connection
        self._replicated = replicated
        self._tell = tell
        self._since: float | None = None
        """Since when standbys are waited for, in all, however often that was broken off."""
        self._told: float | None = None
        if replicated and not self._truth(MAY_SEE):
            raise DatabaseUnfit(
                f"role {connection.info.user} may not see how far standbys are, as durability = replicated needs; run: "
                f"grant pg_read_all_stats to {connection.info.user}"
            )

    def wait(self, lsn: str, worthwhile: Callable[[], bool]) -> bool:
        """Wait until all WAL up to `lsn` is durable; see to it that it is flushed here if nobody else does.

        Args:
            lsn: a position that was read as an insert position.
            worthwhile: asked every now and then while standbys are waited for, which may take for ever.

        Returns:
            Whether it is durable; if not, waiting for it was not worthwhile any more.
        """
        self._wait_for_flush(lsn)
        return not self._replicated or self._wait_for_standbys(lsn, worthwhile)

    def _wait_for_flush(self, lsn: str) -> None:
        deadline = time.monotonic() + PATIENCE
        while not self._truth(FLUSHED, lsn):
            if time.monotonic() > deadline:
                self._connection.execute(FLUSH)
                deadline = float("inf")

    def _wait_for_standbys(self, lsn: str, worthwhile: Callable[[], bool]) -> bool:
        pause = FIRST_PAUSE
        while lack := self._lacking(lsn):
            if not worthwhile():
                return False
            self._tell_of(lack)
            time.sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE)
        if self._since and self._told:
            self._tell(events.StandbysCaughtUp(time.monotonic() - self._since))
        self._since = self._told = None
        return True

    def _tell_of(self, lack: str) -> None:
        """Say that it takes long."""
        now = time.monotonic()
        self._since = self._since or now
        if now - (self._told or self._since) >= (TELL_AGAIN_SECONDS if self._told else TELL_SECONDS):
            self._told = now
            self._tell(events.StandbysBehind(lack, now - self._since))

    def _lacking(self, lsn: str) -> str | None:
        found = self._connection.execute(READ_STANDBYS, {"lsn": lsn}).fetchall()
        standbys = [Standby(name, role, bool(flushed), able) for _, name, role, flushed, able in found if role]
        return lacking(found[0][0], standbys)

    def _truth(self, statement: LiteralString, lsn: str = "0/0") -> bool:
        row = self._connection.execute(statement, {"lsn": lsn}).fetchone()
        assert row is not None
        return bool(row[0])
