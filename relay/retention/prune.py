"""One run of pruning: empty the slots whose messages are old enough, move on to another slot, delete old records.

Guarantees: no message that was not sent is ever deleted, nor one sent less than the retention ago by the database's
clock; of many runs at a time one works (an advisory lock); it refuses where positions mean nothing; it can be ended
between any two of its steps, and what a crash leaves the next run finishes. Decides what is done when; how it is done
is in `relay.retention.ring` and `relay.retention.thinning`.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

import psycopg
from psycopg import errors

from relay import locks, rights
from relay.connection import connect, first_line
from relay.errors import AlreadyPruning, DatabaseUnfit, DatabaseUnreachable, WorkFailed
from relay.leasing.fleet import tie
from relay.reading.checkpoint import Checkpoints
from relay.retention.ring import Ring, Slot, rotation_is_due
from relay.retention.thinning import Thinned, Thinning

PERIODS = 6
"""New rows go to another slot after a sixth of the retention. Of 8 slots, rows are written to one, up to six hold what
is kept, and one is left to be emptied in time."""

COUNTED = 10_000
"""How many unsent messages of a slot are counted at most, divided evenly among the shards."""

TAKE_TURN = """
-- take_turn
select pg_try_advisory_lock(%(prune)s, 0)
"""

END_TURN = """
-- end_turn
select pg_advisory_unlock(%(prune)s, 0)
"""

READ_TURN = """
-- read_turn: who prunes now
select coalesce(application_name, '') || ', pid ' || pid
from pg_locks join pg_stat_activity using (pid)
where locktype = 'advisory' and objsubid = 2 and granted and classid::bigint = %(prune)s and objid = 0
  and database = (select oid from pg_database where datname = current_database())
"""


class Fate(StrEnum):
    """What became of a slot in a run, or would have."""

    TODAY = "today"
    """New rows went to it when the run began, and still do."""
    EMPTY = "empty"
    """There was nothing in it."""
    EMPTIED = "emptied"
    KEPT = "kept"
    """All in it was sent, but not all of it long enough ago."""
    UNSENT = "unsent"
    """Messages in it are unsent."""
    BUSY = "busy"
    """It could be emptied, but somebody uses it."""


@dataclass(frozen=True, slots=True)
class SlotReport:
    """A slot after a run. `bytes` is what it took on disk before; `unsent` is a lower bound where it is capped."""

    slot: int
    fate: Fate
    bytes: int
    unsent: int = 0
    unsent_capped: bool = False
    holders: Sequence[str] = ()
    """Who uses a busy slot, as far as could still be seen."""


@dataclass(frozen=True, slots=True)
class Pruned:
    """What a run did, or would do where `dry_run`."""

    dry_run: bool
    retention_seconds: float
    today: int
    """The slot that new rows go to now."""
    rotated: bool
    """Whether they went to the one before it until this run."""
    rotation_waits: bool
    """Whether they should go to the next one by now, which is not empty: today's slot grows instead."""
    slots: Sequence[SlotReport]
    deleted: Thinned

    def of(self, fate: Fate) -> list[SlotReport]:
        """Return the slots that came to an end of some kind."""
        return [report for report in self.slots if report.fate is fate]

    def as_json(self) -> dict[str, Any]:
        """Return the same as JSON values."""
        return asdict(self)


def run(database_url: str, retention: float, *, dry_run: bool = False) -> Pruned:
    """Prune by hand.

    Args:
        database_url: a libpq URL.
        retention: for how many seconds sent messages are kept.
        dry_run: only say what would be done.

    Raises:
        DatabaseUnreachable: PostgreSQL does not answer, or the session was lost on the way.
        DatabaseUnfit: it cannot serve a relay, or rights are missing; the text names each.
        SchemaError: the outbox is missing, too old or too new.
        PositionsForeign: what is recorded as sent cannot be trusted here.
        AlreadyPruning: somebody else does it at the moment.
        WorkFailed: PostgreSQL refused something else.
    """
    with connect(database_url, "prune") as connection:
        try:
            return prune(connection, retention, dry_run=dry_run)
        except errors.InsufficientPrivilege as error:
            raise DatabaseUnfit(f"role {connection.info.user} may not prune ({first_line(error)})") from None
        except psycopg.Error as error:
            if connection.broken:
                raise DatabaseUnreachable(f"the session was lost: {first_line(error)}; try again") from None
            raise WorkFailed(
                f"PostgreSQL refused a step ({first_line(error)}); what was done before it stays done; try again"
            ) from None


def prune(
    connection: "psycopg.Connection",
    retention: float,
    *,
    dry_run: bool = False,
    stopping: Callable[[], bool] = lambda: False,
) -> Pruned:
    """Prune on a session of its own, as long as nobody says that it is time to stop.

    Raises:
        RelayError, psycopg.Error: as for `run`.
    """
    rights.demand_revision(connection)
    if missing := rights.missing_for_pruning(connection):
        role = connection.info.user
        raise DatabaseUnfit(f"role {role} lacks: {', '.join(missing)}; grant them (docs/migrations.md, Rights)")
    if dry_run:
        return Run(connection, retention, dry_run=True).work()
    with _turn(connection):
        return Run(connection, retention, stopping=stopping).work()


@contextmanager
def _turn(connection: "psycopg.Connection") -> Iterator[None]:
    """Hold the lock of whoever prunes. It ends with the session at the latest."""
    lock = {"prune": locks.PRUNE}
    ((taken,),) = connection.execute(TAKE_TURN, lock).fetchall()
    if not taken:
        names = "; ".join(name for (name,) in connection.execute(READ_TURN, lock).fetchall())
        raise AlreadyPruning(f"{names or 'somebody else'} prunes at the moment, so nothing was done here; try again")
    # A process that is stopped while it has a slot locked would hold up every relay: they end the session then.
    tie(connection, connection.info.backend_pid, locks.BESIDE)
    try:
        yield
    finally:
        if not connection.broken:
            connection.execute(END_TURN, lock)


class Run:
    """One run.

    Args:
        connection: a session of `relay.connection`, in autocommit mode.
        retention: for how many seconds sent messages are kept.
        dry_run: only find out what would be done.
        stopping: whether it is time to stop.
    """

    def __init__(
        self,
        connection: "psycopg.Connection",
        retention: float,
        *,
        dry_run: bool = False,
        stopping: Callable[[], bool] = lambda: False,
    ) -> None:
        self._connection = connection
        self._retention = retention
        self._dry_run = dry_run
        self._stopping = stopping
        self._ring = Ring(connection)

    def work(self) -> Pruned:
        """Do it all. Slots are emptied first: the next one must be empty to be moved on to."""
        self._newest = self._ring.positions(None)
        # It raises where positions mean nothing: in a copy of the database, or where numbers were drawn anew.
        Checkpoints(self._connection).load(self._newest)
        # At no retention a message may go as soon as it was sent, whatever the clock said then.
        self._old = self._ring.positions(self._retention) if self._retention else self._newest
        slots = self._ring.read()
        reports = {slot.number: self._treat(slot) for slot in slots if not self._stopping()}
        today = next(slot for slot in slots if slot.today)
        due = rotation_is_due(today, self._retention / PERIODS) and not self._stopping()
        rotated = due and self._move_on(today, reports)
        return Pruned(
            dry_run=self._dry_run,
            retention_seconds=self._retention,
            today=today.next if rotated else today.number,
            rotated=rotated,
            rotation_waits=due and not rotated,
            slots=tuple(reports.values()),
            deleted=self._thin(),
        )

    def _treat(self, slot: Slot) -> SlotReport:
        if slot.today:
            return SlotReport(slot.number, Fate.TODAY, slot.bytes)
        if slot.empty:
            return SlotReport(slot.number, Fate.EMPTY, slot.bytes)
        return self._empty(slot)

    def _empty(self, slot: Slot) -> SlotReport:
        """Empty a slot if all in it is old enough."""
        looked = self._ring.look(slot.number, self._old)
        if looked.due:
            return self._left_alone(slot)
        if self._dry_run:
            holders = self._ring.holders(slot.number)
            return SlotReport(slot.number, Fate.BUSY if holders else Fate.EMPTIED, slot.bytes, holders=holders)
        try:
            emptied = self._ring.empty(slot.number, looked)
        except (errors.LockNotAvailable, errors.QueryCanceled):
            return SlotReport(slot.number, Fate.BUSY, slot.bytes, holders=self._ring.holders(slot.number))
        return SlotReport(slot.number, Fate.EMPTIED, slot.bytes) if emptied else self._left_alone(slot)

    def _left_alone(self, slot: Slot) -> SlotReport:
        """Say why a slot is not emptied."""
        each = max(1, COUNTED // len(self._newest))
        unsent = self._ring.look(slot.number, self._newest, most=each)
        fate = Fate.UNSENT if unsent.due else Fate.KEPT
        return SlotReport(slot.number, fate, slot.bytes, unsent.due, unsent.capped)

    def _move_on(self, today: Slot, reports: dict[int, SlotReport]) -> bool:
        """Let new rows go to the next slot if that is empty; empty the one left behind if all in it is old enough."""
        following = reports.get(today.next)
        if following is None or following.fate not in (Fate.EMPTY, Fate.EMPTIED):
            return False
        if not self._dry_run:
            self._ring.rotate(today.next)
        reports[today.number] = self._empty(today)
        return True

    def _thin(self) -> Thinned:
        thinning = Thinning(self._connection, self._retention)
        return thinning.count() if self._dry_run else thinning.delete(self._stopping)
