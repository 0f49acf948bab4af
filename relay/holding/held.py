"""The table of held messages, as the relay that leases their shards reads and writes it.

Guarantees: a hold is written in the same commit as the checkpoint that passes over its message; what is read to be sent
has nothing older in its way. Works on the lease session, so that whoever has lost a shard can settle nothing of it. Who
is in the way is asked anew each time: an operator may have settled it.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, LiteralString

import psycopg

from relay.errors import WorkFailed
from relay.hold import Hold, Scope
from relay.message import Batch, Row
from relay.reading.plan import walk_indexes
from relay.size import SIZE
from relay.waits import Queue

ALONE_ROWS = 32
"""Of those that have failed, how many of each shard are read at once: each is sent alone, and others wait for it."""

HOLD: LiteralString = """
-- hold: copied inside the database, so that no payload travels twice
insert into outbox.held (shard, seq, id, topic, key, type, payload, content_type, headers, created_at,
                         scope, attempts, due_at, failed_at, fault, code, error)
select m.shard, m.seq, m.id, m.topic, m.key, m.type, m.payload, m.content_type, m.headers, m.created_at,
       h.scope, h.attempts,
       case when h.fault is null then case when h.scheduled then m.deliver_after else '-infinity' end
            when h.seconds is null then 'infinity'
            else clock_timestamp() + make_interval(secs => h.seconds) end,
       case when h.fault is not null then clock_timestamp() end, h.fault, h.code, h.error
from unnest(%(shards)s::smallint[], %(seqs)s::bigint[], %(scopes)s::text[], %(attempts)s::int[], %(seconds)s::float8[],
            %(faults)s::text[], %(codes)s::text[], %(errors)s::text[], %(scheduled)s::bool[])
     as h(shard, seq, scope, attempts, seconds, fault, code, error, scheduled)
join outbox.message m on m.shard = h.shard and m.seq = h.seq
"""

SETTLE_SENT: LiteralString = """
-- settle_sent: what was sent is sent, also when an operator discarded it meanwhile
update outbox.held h set settled_as = 'sent', settled_at = clock_timestamp()
from unnest(%(shards)s::smallint[], %(seqs)s::bigint[]) as sent(shard, seq)
where h.shard = sent.shard and h.seq = sent.seq
"""

SETTLE_FAILED: LiteralString = """
-- settle_failed: unless an operator discarded it meanwhile. One that was replayed while it was tried, which gave back
-- its attempts, stays so: the try began before, and its failure says nothing of what was mended since
update outbox.held h
set scope = f.scope, failed_at = clock_timestamp(), fault = f.fault, code = f.code, error = f.error,
    attempts = case when h.attempts = f.tried then f.attempts else h.attempts end,
    due_at = case when h.attempts <> f.tried then h.due_at
                  when f.seconds is null then 'infinity'
                  else clock_timestamp() + make_interval(secs => f.seconds) end
from unnest(%(shards)s::smallint[], %(seqs)s::bigint[], %(scopes)s::text[], %(tried)s::int[], %(attempts)s::int[],
            %(seconds)s::float8[], %(faults)s::text[], %(codes)s::text[], %(errors)s::text[])
     as f(shard, seq, scope, tried, attempts, seconds, fault, code, error)
-- by the primary key: the planner would take `is null` for an invitation to read an index of all that is not settled
where h.shard = f.shard and h.seq = f.seq and num_nulls(h.settled_as) = 1
"""

NARROW: LiteralString = """
-- narrow: those that waited for the topic, and wait for one of its keys now
update outbox.held h set scope = 'key'
from unnest(%(seqs)s::bigint[], %(topics)s::text[], %(keys)s::text[])
     as first(seq, topic, key)
where h.topic = first.topic and h.scope = 'topic'
  and h.key_hash = hashtextextended(first.key, 0) and h.key = first.key and h.seq > first.seq
  and h.settled_as is null and h.failed_at is null
"""

LEFT: LiteralString = """
-- left: of some keys and topics, those of which something is still held. A key is asked for by its hash: it may seem to
-- be left for the sake of another one, which costs a detour. It is in one shard, and not naming that leaves the planner
-- one index to take, whatever it believes of the table.
select q.shard, q.topic, q.key
from unnest(%(shards)s::smallint[], %(topics)s::text[], %(keys)s::text[]) as q(shard, topic, key)
cross join lateral (
    (
        select 1 from outbox.held h
        where q.key is null and h.shard = q.shard and h.topic = q.topic
          and h.ordered and h.scope = 'topic' and h.settled_as is null
        limit 1
    )
    union all
    (
        select 1 from outbox.held h
        where h.topic = q.topic and h.key_hash = hashtextextended(q.key, 0)
          and h.ordered and h.settled_as is null
        limit 1
    )
) as one
"""

LOAD: LiteralString = """
-- load_waits: behind what others wait in some shards
select distinct shard, topic, case when scope = 'key' then key end
from outbox.held
where shard = any(%(shards)s) and settled_as is null and ordered
"""

LOOK: LiteralString = """
-- look_at_held: topics that a failure halts, in any shard; and in how many seconds something in ours comes due
select array(select distinct topic from outbox.held
             where settled_as is null and failed_at is not null and scope = 'topic'),
       (select extract(epoch from min(first.due_at) - clock_timestamp())::float8
        from unnest(%(shards)s::smallint[]) as ours(shard)
        cross join lateral (
            select due_at from outbox.held
            where shard = ours.shard and settled_as is null and due_at > '-infinity' and due_at < 'infinity'
            order by due_at limit 1
        ) as first)
"""

COUNT: LiteralString = """
-- count_held: how much of each topic waits in order
select topic, count(*) from outbox.held where settled_as is null and ordered group by topic
"""

READ_DUE: LiteralString = """
-- read_held: what is due and has nothing older in its way; bounded in rows and bytes
with due as (
    select m.*, {size} as size
    from unnest(%(shards)s::smallint[]) as ours(shard)
    cross join lateral (
        select * from outbox.held h
        where h.shard = ours.shard and h.settled_as is null and {when}
          and not exists (
              select from outbox.held first
              where first.topic = h.topic and first.scope = 'topic' and first.seq < h.seq
                and first.settled_as is null and first.failed_at is not null
          )
          and not exists (
              select from outbox.held first
              where first.topic = h.topic and first.scope = 'key' and first.key_hash = h.key_hash
                and first.key = h.key and first.seq < h.seq and first.settled_as is null and first.failed_at is not null
          )
        order by h.due_at, h.seq
        limit %(rows)s
    ) as m
), page as (
    select due.*, sum(size) over (rows unbounded preceding) as running from due
)
select shard, seq, id::text, topic, key, type, payload, content_type,
       case when replay is null then headers
            else coalesce(headers, '{}') || jsonb_build_object('ce_replay', replay::text) end::text,
       to_json(created_at)::text, false, size, failed_at is not null, attempts, replay is not null
from page
where running - size < %(bytes)s
""".replace("{size}", SIZE)

READ_FAILED: LiteralString = READ_DUE.replace(
    "{when}", "h.due_at > '-infinity' and h.due_at <= now() and h.failed_at is not null"
)
"""Those that have failed, and are to be tried again now."""

READ_SCHEDULED: LiteralString = READ_DUE.replace(
    "{when}",
    """h.due_at > '-infinity' and h.due_at <= now() and h.failed_at is null
          -- Who only waits is in nobody's way, but a scheduled message must not pass older ones of its key.
          and not exists (
              select from outbox.held older
              where h.replay is null and older.topic = h.topic and older.key_hash = h.key_hash and older.seq < h.seq
                and older.ordered and older.settled_as is null
          )""",
)
"""Those whose time has come, and those that an operator publishes anew."""

READ_WAITING: LiteralString = READ_DUE.replace("{when}", "h.due_at = '-infinity'")
"""Those that only wait behind others."""


@dataclass(frozen=True, slots=True)
class Due:
    """Held messages that may be sent now."""

    rows: list[Row] = field(default_factory=list)
    """In the order in which they must be sent."""
    failed: dict[int, int] = field(default_factory=dict)
    """When they have failed before, how often by their own fault, by `seq`; either all have, or none."""
    replays: frozenset[int] = frozenset()
    """Those that were sent before and are published anew, by `seq`: nothing waits for them."""

    def batch(self) -> Batch:
        """The same, shard by shard."""
        shards: dict[int, list[Row]] = {}
        for row in self.rows:
            shards.setdefault(row[0], []).append(row)
        return Batch.of(shards)


@dataclass(frozen=True, slots=True)
class Look:
    """A quick look at the table."""

    away: frozenset[str]
    """Topics that a failure halts, in any shard of anyone."""
    seconds: float | None
    """Until something comes due in the shards asked for; None when nothing does."""


class Held:
    """Reads and writes held messages.

    Args:
        connection: the lease session.
        rows: how many of each shard may be read at once.
        size: how many bytes in all.
    """

    def __init__(self, connection: "psycopg.Connection", *, rows: int, size: int) -> None:
        self._connection = connection
        walk_indexes(connection)
        self._rows = rows
        self._size = size

    def load(self, shards: Collection[int]) -> set[Queue]:
        """Read behind what others wait in some shards. Call it only once they are leased."""
        return set(self._connection.execute(LOAD, {"shards": list(shards)}).fetchall())

    def look(self, shards: Collection[int]) -> Look:
        """Look whether there is anything to do."""
        found = self._connection.execute(LOOK, {"shards": list(shards)}).fetchone()
        assert found is not None
        return Look(frozenset(found[0]), found[1])

    def count(self) -> dict[str, int]:
        """How much of each topic waits in order, in all shards."""
        return dict(self._connection.execute(COUNT).fetchall())

    def failed(self, shards: Collection[int]) -> Due:
        """Read those that have failed and are to be tried again; few at once."""
        return self._due(READ_FAILED, shards, min(ALONE_ROWS, self._rows))

    def scheduled(self, shards: Collection[int]) -> Due:
        """Read those that have not been tried and whose time has come."""
        return self._due(READ_SCHEDULED, shards, self._rows)

    def waiting(self, shards: Collection[int]) -> Due:
        """Read those that only wait behind others, and have nothing in their way any more."""
        return self._due(READ_WAITING, shards, self._rows)

    def _due(self, statement: LiteralString, shards: Collection[int], rows: int) -> Due:
        found: list[Any] = self._connection.execute(
            statement, {"shards": list(shards), "rows": rows, "bytes": self._size}, binary=True
        ).fetchall()
        failed = {row[1]: row[13] for row in found if row[12]}
        replays = frozenset(row[1] for row in found if row[14])
        return Due([tuple(row[:12]) for row in found], failed, replays)

    def write(self, holds: Sequence[Hold]) -> None:
        """Set messages aside; to be called within the transaction that passes over them.

        Raises:
            psycopg.errors.UniqueViolation: one is held already: somebody else owns the shard.
            WorkFailed: one is not in the table any more.
        """
        scheduled = [hold.row[10] for hold in holds]
        written = self._connection.execute(HOLD, {**_columns(holds), "scheduled": scheduled}).rowcount
        if written != len(holds):
            raise WorkFailed(
                f"{len(holds) - written} messages that had to be set aside are gone: "
                "somebody deleted rows of outbox.message"
            )

    def settle(self, due: Due, sent: Iterable[Row], failed: Sequence[Hold], queues: Iterable[Queue]) -> set[Queue]:
        """Record in one commit what became of held messages.

        Args:
            due: as they were read.
            sent: those that were published.
            failed: those that failed, again or for the first time.
            queues: the keys and topics that others may be freed of.

        Returns:
            Those of `queues` of which something is still held.
        """
        # In the order of the primary key, in which operators lock too: two that meet wait, and neither gives way.
        numbers = sorted((row[0], row[1]) for row in sent)
        failed = sorted(failed, key=lambda hold: hold.row[:2])
        narrowed = [hold.row for hold in failed if hold.scope is Scope.KEY]
        with self._connection.transaction():
            if numbers:
                shards, seqs = zip(*numbers, strict=True)
                self._connection.execute(SETTLE_SENT, {"shards": list(shards), "seqs": list(seqs)})
            if failed:
                tried = [due.failed.get(hold.row[1], 0) for hold in failed]
                self._connection.execute(SETTLE_FAILED, {**_columns(failed), "tried": tried})
            if narrowed:
                self._connection.execute(
                    NARROW,
                    {
                        "seqs": [row[1] for row in narrowed],
                        "topics": [row[3] for row in narrowed],
                        "keys": [row[4] for row in narrowed],
                    },
                )
        return self.left(queues)

    def left(self, queues: Iterable[Queue]) -> set[Queue]:
        """Which of some keys and topics something is held of that others wait behind."""
        asked = list(queues)
        if not asked:
            return set()
        shards, topics, keys = map(list, zip(*asked, strict=True))
        return set(self._connection.execute(LEFT, {"shards": shards, "topics": topics, "keys": keys}).fetchall())


def _columns(holds: Sequence[Hold]) -> dict[str, list[Any]]:
    failures = [hold.failure for hold in holds]
    return {
        "shards": [hold.row[0] for hold in holds],
        "seqs": [hold.row[1] for hold in holds],
        "scopes": [hold.scope.value for hold in holds],
        "attempts": [hold.attempts for hold in holds],
        "seconds": [hold.seconds for hold in holds],
        "faults": [failure and failure.fault.value for failure in failures],
        "codes": [failure and failure.code for failure in failures],
        "errors": [failure and failure.text for failure in failures],
    }
