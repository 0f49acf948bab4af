"""The record of what was sent: append-only, one row per shard and batch, and the floor that may go with a snapshot.

Guarantees: what `append` returned is on disk; two relays never both append one batch of a shard (the primary key
refuses the second, and that refusal is the fence); a floor is handed out only when it is safe.

The floor. A floor may go with a snapshot only if every transaction that the snapshot does not know is sure to draw a
higher number. `pg_snapshot_xmax` is the last *completed* xid + 1, not the next one, so a running transaction can be
unknown to a snapshot and already hold a low number. It is safe in this order: (1) a statement of its own reads the
floor and returns; (2) only then a transaction is given its xid, and commits; (3) the snapshot is taken. A transaction
that drew a number before (1) had its xid before that (the column order sees to it), hence a lower one than (2), hence
lies below the snapshot's xmax: it is listed as in progress or it is visible. The commit of `append` is (2).
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

import psycopg
from psycopg import errors

from relay.errors import LeaseLost, PositionsForeign
from relay.message import Horizon, Position, columns
from relay.reading import origin
from relay.reading.trails import Trails, floors

READ_FLOOR = """
-- read_floor
select coalesce(pg_sequence_last_value('outbox.message_seq'), 0)
"""

READ_SYSTEM = """
-- read_system_identifier
select system_identifier from pg_control_system()
"""

LOAD_POSITIONS = """
-- load_positions: a transaction that `seen` does not know draws numbers above the floor, or the sequence was restarted
select newest.shard, newest.batch, newest.upto,
       seen.taken::text, seen.floor, seen.id, target.taken::text, target.floor, target.id, seen.system_identifier,
       newest.ahead, coalesce(lowest.xid >= pg_snapshot_xmax(seen.taken) and lowest.seq <= seen.floor, false) as reused
from unnest(%(shards)s::smallint[]) as wanted(shard)
cross join lateral (
    select * from outbox.checkpoint where shard = wanted.shard order by batch desc limit 1
) as newest
join outbox.snapshot as seen on seen.id = newest.seen
left join outbox.snapshot as target on target.id = newest.target
left join lateral (
    select xid, seq from outbox.message where shard = wanted.shard order by seq limit 1
) as lowest on true
"""

APPEND_CHECKPOINTS = """
-- append_checkpoints: what is `ahead` refers to no row that tells which numbers were drawn by then, so it tells itself
with recorded as (
    insert into outbox.snapshot (taken, floor, system_identifier)
    select taken, floor, %(system)s::bigint
    from unnest(%(taken)s::pg_snapshot[], %(floors)s::bigint[]) as new(taken, floor)
    returning id, taken::text as taken, floor
), horizon as (
    select * from recorded
    union all
    select * from unnest(%(known)s::bigint[], %(known_taken)s::text[], %(known_floors)s::bigint[])
)
insert into outbox.checkpoint (shard, batch, seen, target, upto, ahead, sent)
select p.shard, p.batch, seen.id, target.id, p.upto,
       p.ahead || jsonb_build_object('drawn', coalesce(pg_sequence_last_value('outbox.message_seq'), 0)), p.sent
from unnest(%(shards)s::smallint[], %(batches)s::bigint[], %(seen)s::text[], %(seen_floor)s::bigint[],
            %(target)s::text[], %(target_floor)s::bigint[], %(upto)s::bigint[], %(ahead)s::jsonb[],
            %(sent)s::bigint[])
     as p(shard, batch, seen, seen_floor, target, target_floor, upto, ahead, sent)
join horizon as seen on seen.taken = p.seen and seen.floor = p.seen_floor
left join horizon as target on target.taken = p.target and target.floor = p.target_floor
returning shard, seen, target
"""


class Checkpoints:
    """Loads and appends positions on the session that also holds the leases: with the session, both are lost.

    Args:
        connection: the lease session.
    """

    def __init__(self, connection: "psycopg.Connection") -> None:
        self._connection = connection
        self._batches: dict[int, int] = {}
        self._newest: dict[int, Position] = {}
        self._rows: dict[Horizon, int] = {}
        self._system = self._number(READ_SYSTEM)
        self.trails = Trails()
        """How far the topics are that are behind their shards: loaded with the positions, recorded with every
        checkpoint of their shard. Whoever moves the positions moves these."""
        self.floor = 0
        """The newest floor that is safe with every snapshot taken from now on; 0 always is."""

    def load(self, shards: Collection[int]) -> dict[int, Position]:
        """Read where some shards stand, from their newest checkpoints. Call it only once they are leased.

        Raises:
            PositionsForeign: the positions were made in another cluster, one is missing, or the sequence went
                backwards.
        """
        found = self._connection.execute(LOAD_POSITIONS, {"shards": list(shards)}).fetchall()
        number = self._number(READ_FLOOR)
        positions = {}
        for (
            shard,
            batch,
            upto,
            taken,
            floor,
            row,
            target_taken,
            target_floor,
            target_row,
            system,
            ahead,
            reused,
        ) in found:
            seen = Horizon(taken, floor)
            target = None if target_row is None else Horizon(target_taken, target_floor)
            self._check_origin(system, reused)
            recorded = Position(seen, target, upto)
            self.trails.drop([shard])
            positions[shard] = recorded if ahead is None else self.trails.read(shard, ahead)
            check_sequence(number, max(floors(positions[shard], self.trails.of.get(shard, {}).values())))
            self._batches[shard] = batch
            self._remember(shard, recorded, row, target_row)
        if missing := set(shards) - positions.keys():
            raise PositionsForeign(origin.nothing_is_published(origin.no_position(missing)))
        return positions

    def append(
        self, positions: Mapping[int, Position], sent: Mapping[int, int], also: Callable[[], None] | None = None
    ) -> None:
        """Record where some shards stand, in one commit.

        Args:
            positions: the position of each shard to record.
            sent: how many messages of each shard were published since its last checkpoint.
            also: writes on the same session what must be true if and only if these checkpoints are.

        Raises:
            LeaseLost: another relay has appended this batch: it owns the shard, and nothing was recorded.
            psycopg.OperationalError: the session was lost. Whether the commit succeeded is unknown, and need not be
                known: the position is read anew after any reconnect, and what it does not cover is sent again.
        """
        candidate = self._number(READ_FLOOR)
        check_sequence(candidate, self.floor)
        try:
            everywhere = {shard: self.trails.furthest_behind(shard, at) for shard, at in positions.items()}
            ahead = [self.trails.written(shard, at) for shard, at in positions.items()]
            rows = self._together({**self._parameters(everywhere, sent), "ahead": ahead}, also)
        except errors.UniqueViolation as error:
            raise LeaseLost("another relay has appended a checkpoint of a shard leased here") from error
        if len(rows) != len(positions):
            raise AssertionError(f"{len(rows)} checkpoints were appended for {len(positions)} shards")
        self.floor = candidate
        for shard, seen, target in rows:
            self._batches[shard] += 1
            self._remember(shard, everywhere[shard], seen, target)
        self._forget()

    def _together(self, parameters: dict[str, Any], also: Callable[[], None] | None) -> list[Any]:
        if also is None:
            return self._commit(parameters)
        # In this order all the same: the floor was read before this transaction is given its xid.
        with self._connection.transaction():
            also()
            return self._commit(parameters)

    def drop(self, shards: Collection[int]) -> None:
        """End with shards that are given up: their newest checkpoints are others' now, and so may be pruned.

        A snapshot's row is referred to anew only while the newest checkpoint of a shard leased here refers to it: then
        pruning lets it stand. One that is remembered for longer may be gone, and a checkpoint that refers to nothing
        could never be loaded.
        """
        for shard in shards:
            self._newest.pop(shard, None)
        self.trails.drop(shards)
        self._forget()

    def _commit(self, parameters: dict[str, Any]) -> list[Any]:
        """Write and commit, in a transaction that is given its xid only now, after the floor was read."""
        return self._connection.execute(APPEND_CHECKPOINTS, parameters).fetchall()

    def _parameters(self, positions: Mapping[int, Position], sent: Mapping[int, int]) -> dict[str, Any]:
        horizons = _horizons(positions.values())
        new = [horizon for horizon in horizons if horizon not in self._rows]
        known = [horizon for horizon in horizons if horizon in self._rows]
        return {
            "system": self._system,
            "taken": [horizon.snapshot for horizon in new],
            "floors": [horizon.floor for horizon in new],
            "known": [self._rows[horizon] for horizon in known],
            "known_taken": [horizon.snapshot for horizon in known],
            "known_floors": [horizon.floor for horizon in known],
            **columns(positions),
            "batches": [self._batches[shard] + 1 for shard in positions],
            "sent": [sent.get(shard, 0) for shard in positions],
        }

    def _remember(self, shard: int, position: Position, seen: int, target: int | None) -> None:
        self._newest[shard] = position
        self._rows[position.seen] = seen
        if position.target and target is not None:
            self._rows[position.target] = target

    def _forget(self) -> None:
        """Keep the rows of those horizons only that a newest checkpoint refers to."""
        in_use = _horizons(self._newest.values())
        self._rows = {horizon: row for horizon, row in self._rows.items() if horizon in in_use}

    def _check_origin(self, system: int, reused: bool) -> None:
        if system != self._system:
            raise PositionsForeign(origin.nothing_is_published(origin.foreign_cluster([system], self._system)))
        if reused:
            raise PositionsForeign(origin.nothing_is_published(origin.SEQUENCE_USED_AGAIN))

    def _number(self, statement: Any) -> int:
        row = self._connection.execute(statement).fetchone()
        assert row is not None
        return int(row[0])


def check_sequence(number: int, floor: int) -> None:
    """Raise PositionsForeign when the sequence stands below a floor that was read from it before."""
    if number < floor:
        raise PositionsForeign(origin.nothing_is_published(origin.sequence_went_back(number, floor)))


def _horizons(positions: Iterable[Position]) -> set[Horizon]:
    return {at for position in positions for at in (position.seen, position.target) if at}
