"""The ring of slots: which partition new rows go to, and how one that they no longer go to is emptied.

Guarantees: a slot is truncated only when every committed row in it was sent, and sent as long ago as asked; nobody
waits for that longer than `LOCK_TIMEOUT` for the lock and, where it is had, for a look-up and a TRUNCATE. To reading a
slot means nothing, so a rotation at the wrong moment, or one that a crash undoes, harms nobody.

Emptying takes three steps, in this order:

1. *Look*, without any lock: of the rows in the slot that a snapshot sees, is one not covered by where its shard stood
   that long ago? It may take its time, and mostly there is one: then the slot is left alone.
2. *Lock* the slot against everybody, by a statement of its own. Whoever has written to it holds a lock on it until the
   end of the transaction, also a prepared one, so now each of its rows is committed or gone.
3. *Look again*, and only now, under READ COMMITTED, where each statement has a snapshot of its own: one taken before
   the lock was had would miss what was committed while we waited for it. A row that the first look did not see is
   enough to leave the slot alone, so this is two look-ups in the index on `xid`, however many rows there are.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, LiteralString

import psycopg
from psycopg import sql

from relay.message import Horizon, Position, columns
from relay.reading.plan import PLAN

SLOTS = 8
"""The partitions of `outbox.message`."""

LOCK_TIMEOUT = "200ms"
"""How long we wait for the lock on a slot. Whoever wants to use it meanwhile waits behind us: relays, for they read all
slots, and a writer that looked up the slot just before the last rotation."""

WORK_TIMEOUT = "1s"
"""How long one statement may take while we have that lock; both take milliseconds."""

READ_SLOTS = """
-- read_slots: a slot has no bytes only after a TRUNCATE: uncommitted, rolled back and deleted rows have theirs
select every.slot, pg_total_relation_size(partition.oid), pg_relation_size(partition.oid) = 0,
       every.slot = coalesce(pg_sequence_last_value('outbox.slot'), 0),
       extract(epoch from clock_timestamp() - rotation.at)::float8
from generate_series(0, 7) as every(slot)
join pg_class as partition on partition.oid = ('outbox.message_' || every.slot)::regclass
left join outbox.rotation on rotation.slot = every.slot
order by every.slot
"""

ROTATE = """
-- rotate: no transaction undoes a setval, and if we never hear of it the next rotation merely comes sooner
with moved as (
    select setval('outbox.slot', %(slot)s) as slot
)
insert into outbox.rotation (slot) select slot from moved
on conflict (slot) do update set at = clock_timestamp()
"""

READ_POSITIONS = """
-- read_positions_of_age: where each shard stood so many seconds ago, or stands now where no age is given. A shard
-- without a checkpoint of that age had sent nothing, and one of another cluster says nothing.
select every.shard, coalesce(stood.seen, '1:1:')::text, coalesce(stood.floor, 0), stood.target::text,
       stood.target_floor, coalesce(stood.upto, 0)
from generate_series(0, outbox.shard_count() - 1) as every(shard)
left join lateral (
    select seen.taken as seen, seen.floor, target.taken as target, target.floor as target_floor, c.upto
    from outbox.checkpoint as c
    join outbox.snapshot as seen
      on seen.id = c.seen and seen.system_identifier = (select system_identifier from pg_control_system())
    left join outbox.snapshot as target on target.id = c.target
    where c.shard = every.shard::smallint
      and (%(age)s::float8 is null or c.sent_at <= statement_timestamp() - make_interval(secs => %(age)s))
    order by c.batch desc limit 1
) as stood on true
"""

LOOK: LiteralString = """
-- look: how many rows in a slot are visible and not covered by a position, whether a shard may have more than were
-- counted, and the snapshot that says so. Three ranges make up all of them: above both marks; below, of the
-- transactions that a snapshot lists as in progress; and between the target's floor and upto, of those that the target
-- does not know.
select sum(found.due)::bigint, max(found.due) >= %(most)s, pg_current_snapshot()::text
from unnest(%(shards)s::smallint[], %(seen)s::pg_snapshot[], %(seen_floor)s::bigint[], %(target)s::pg_snapshot[],
            %(target_floor)s::bigint[], %(upto)s::bigint[]) as p(shard, seen, floor, target, target_floor, upto)
cross join lateral (
    select count(*) as due
    from (
        (
            select seq from outbox.{slot}
            where shard = p.shard and seq > greatest(p.floor, p.upto) and not pg_visible_in_snapshot(xid, p.seen)
            order by seq limit %(most)s
        )
        union all
        (
            select late_row.seq
            from (select pg_snapshot_xip(p.seen) union select pg_snapshot_xip(p.target)) as late(xid)
            cross join lateral (
                select seq from outbox.{slot}
                where xid = late.xid and shard = p.shard and seq <= greatest(p.floor, p.upto)
                  and seq > case when pg_visible_in_snapshot(late.xid, p.target) then p.upto else 0 end
                order by seq limit %(most)s
            ) as late_row
            limit %(most)s
        )
        union all
        (
            select seq from outbox.{slot}
            where shard = p.shard and seq > greatest(p.floor, p.target_floor) and seq <= p.upto
              and xid >= pg_snapshot_xmax(p.target)
            order by seq limit %(most)s
        )
    ) as row_due
) as found
"""

SET_LOCAL = """
-- set_local: for this transaction alone
select set_config(name, value, true) from unnest(%(names)s::text[], %(values)s::text[]) as setting(name, value)
"""

LOCK: LiteralString = """
-- lock_slot
lock table outbox.{slot} in access exclusive mode
"""

LOOK_AGAIN: LiteralString = """
-- look_again: whether a row in a slot is visible that an earlier snapshot does not see
select exists (select from outbox.{slot} where xid >= pg_snapshot_xmax(%(looked)s::pg_snapshot))
    or exists (select from pg_snapshot_xip(%(looked)s::pg_snapshot) as late(xid)
               join outbox.{slot} as message on message.xid = late.xid)
"""

TRUNCATE: LiteralString = """
-- truncate_slot
truncate outbox.{slot}
"""

READ_HOLDERS: LiteralString = """
-- read_holders: who has a lock on a slot. A prepared transaction has no pid; of other roles' sessions little is shown.
select distinct coalesce(
    'pid ' || l.pid || coalesce(' (' || coalesce(nullif(a.application_name, ''), a.backend_type) || ')', '')
    || coalesce(', ' || a.state, '')
    || coalesce(', in a transaction for ' || round(extract(epoch from clock_timestamp() - a.xact_start)) || ' s', ''),
    'a prepared transaction (see pg_prepared_xacts)')
from pg_locks as l
left join pg_stat_activity as a on a.pid = l.pid
where l.granted and l.locktype = 'relation' and l.relation = 'outbox.{slot}'::regclass
  and l.pid is distinct from pg_backend_pid()
  and l.database = (select oid from pg_database where datname = current_database())
order by 1
"""


@dataclass(frozen=True, slots=True)
class Slot:
    """One slot as it stands."""

    number: int
    bytes: int
    """What it takes on disk, with its indexes and long values."""
    empty: bool
    today: bool
    """Whether new rows go to it."""
    age: float | None
    """Seconds since new rows began to go to it, the last time; None where nobody knows."""

    @property
    def next(self) -> int:
        """The slot that comes behind it."""
        return (self.number + 1) % SLOTS


@dataclass(frozen=True, slots=True)
class Look:
    """How many rows in a slot some positions do not cover, and the snapshot that says so."""

    due: int
    capped: bool
    """Whether there may be more, which were not counted."""
    snapshot: str


def rotation_is_due(today: Slot, period: float) -> bool:
    """Whether new rows should go to another slot: today's has some, and has been today's for `period` seconds.

    A time that lies ahead, since the database's clock was set back, would keep the ring from turning until it came: it
    counts as long ago.
    """
    return not today.empty and (today.age is None or not 0 <= today.age < period)


class Ring:
    """The slots, on a session of its own that pins what those of relays pin.

    Args:
        connection: a session of `relay.connection`, in autocommit mode.
    """

    def __init__(self, connection: "psycopg.Connection") -> None:
        self._connection = connection

    def read(self) -> list[Slot]:
        """Read how all slots stand, in their order."""
        return [Slot(*row) for row in self._connection.execute(READ_SLOTS).fetchall()]

    def rotate(self, slot: int) -> None:
        """Let new rows go to a slot. Those that are being written go to either."""
        self._connection.execute(ROTATE, {"slot": slot})

    def positions(self, age: float | None) -> dict[int, Position]:
        """Read where every shard stood some seconds ago; None is where it stands now, whatever the clock was."""
        found = self._connection.execute(READ_POSITIONS, {"age": age}).fetchall()
        return {
            shard: Position(Horizon(seen, floor), Horizon(target, target_floor) if target else None, upto)
            for shard, seen, floor, target, target_floor, upto in found
        }

    def look(self, slot: int, positions: Mapping[int, Position], *, most: int = 1) -> Look:
        """Count the rows in a slot that some positions do not cover, of each shard `most` or a few more.

        It locks nobody out.
        """
        with self._transaction():
            row = self._execute(LOOK, slot, {**columns(positions), "most": most}).fetchone()
        assert row is not None
        return Look(*row)

    def empty(self, slot: int, looked: Look) -> bool:
        """Truncate a slot in which a look found nothing due.

        If the truncation was committed and we did not hear of it, the slot is empty, which the next run sees.

        Returns:
            Whether it was done; it is not when rows have come since the look.

        Raises:
            psycopg.errors.LockNotAvailable, psycopg.errors.QueryCanceled: it is in use; nothing was done.
        """
        assert looked.due == 0, "a slot with rows that are due is never emptied"
        with self._transaction({"lock_timeout": LOCK_TIMEOUT, "statement_timeout": WORK_TIMEOUT}):
            self._execute(LOCK, slot)
            if self._came_since(slot, looked):
                return False
            self._execute(TRUNCATE, slot)
        return True

    def holders(self, slot: int) -> list[str]:
        """Name who has a lock on a slot, as far as can still be seen: they may be gone by now."""
        return [name for (name,) in self._execute(READ_HOLDERS, slot).fetchall()]

    def _came_since(self, slot: int, looked: Look) -> bool:
        row = self._execute(LOOK_AGAIN, slot, {"looked": looked.snapshot}).fetchone()
        assert row is not None
        return bool(row[0])

    @contextmanager
    def _transaction(self, settings: Mapping[str, str] | None = None) -> Iterator[None]:
        """Open a transaction that walks the indexes, as the reader does, and has some settings of its own."""
        mine = {**PLAN, **(settings or {})}
        with self._connection.transaction():
            self._connection.execute(SET_LOCAL, {"names": list(mine), "values": list(mine.values())})
            yield

    def _execute(
        self, statement: LiteralString, slot: int, parameters: Mapping[str, Any] | None = None
    ) -> "psycopg.Cursor[Any]":
        named = sql.SQL(statement).format(slot=sql.Identifier(f"message_{slot}"))
        return self._connection.execute(named, parameters)
