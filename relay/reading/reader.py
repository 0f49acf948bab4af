"""What is due: for each shard, the rows visible in one snapshot and not in another, in `seq` order, a page at a time.

Guarantees: no committed row is skipped however late it commits, none that could still be rolled back is returned, and
a page is bounded in bytes. It reads and never writes; what was read is not sent until somebody checkpoints it.

Two ranges make it cheap whatever the history: *late* rows (of transactions that `seen` lists as in progress and that
have ended since; by index on xid) have `seq` up to the floor; *new* rows have a higher one (by primary key). The shards
are read by a nested loop in the order given, so a page that is full stops in one shard and leaves the later unread.
"""

from collections.abc import Mapping, Sequence
from itertools import groupby
from operator import itemgetter, lt
from typing import Any, LiteralString

import psycopg

from relay.connection import pin
from relay.message import Horizon, Page, Position, Row, columns
from relay.reading.plan import walk_indexes
from relay.size import SIZE

LATE_ROWS: LiteralString = """
            -- late rows, transaction by transaction: one of them may hold a million
            select late_row.*
            from pg_snapshot_xip(p.seen) as late(xid)
            cross join lateral (
                select seq, id, topic, key, type, payload, content_type, headers, created_at, deliver_after
                from outbox.message
                where xid = late.xid and shard = p.shard and seq > p.upto and seq <= p.floor
                order by seq limit %(rows)s
            ) as late_row
            where pg_visible_in_snapshot(late.xid, coalesce(p.target, pg_current_snapshot()))
            order by seq limit %(rows)s
"""

NEW_ROWS: LiteralString = """
            -- new rows
            select seq, id, topic, key, type, payload, content_type, headers, created_at, deliver_after
            from outbox.message
            where shard = p.shard and seq > greatest(p.floor, p.upto)
              and not pg_visible_in_snapshot(xid, p.seen)
              and (p.target is null or pg_visible_in_snapshot(xid, p.target))
            order by seq limit %(rows)s
"""

READ: LiteralString = """
-- read_page
with due as (
    select p.shard, m.*, {size} as size
    from unnest(%(shards)s::smallint[], %(seen)s::pg_snapshot[], %(seen_floor)s::bigint[], %(target)s::pg_snapshot[],
                %(upto)s::bigint[]) as p(shard, seen, floor, target, upto)
    cross join lateral ({rows}) as m
), page as (
    select due.*, sum(size) over (rows unbounded preceding) as running from due
)
select null::smallint as shard, coalesce(pg_sequence_last_value('outbox.message_seq'), 0) as seq,
       pg_current_snapshot()::text as id, pg_current_wal_insert_lsn()::text as topic,
       null as key, null as type, null::bytea as payload, null as content_type, null as headers, null as created_at,
       false as scheduled, 0 as size
union all
(
    select shard, seq, id::text, topic, key, type, payload, content_type, headers::text, to_json(created_at)::text,
           deliver_after is not null and deliver_after > clock_timestamp(), size
    from page
    where running - size < %(bytes)s
    limit %(page)s
)
union all
select null, 0, '', pg_current_wal_flush_lsn()::text, null, null, null, null, null, null, false, 0
""".replace("{size}", SIZE)

READ_PAGE: LiteralString = READ.replace("{rows}", f"({LATE_ROWS}) union all ({NEW_ROWS}) limit %(rows)s")
"""Reads both ranges."""

READ_NEW: LiteralString = READ.replace("{rows}", NEW_ROWS)
"""Reads for snapshots that saw no transaction in progress: half as many indexes to open, most of what a small page
costs."""


READ_TOPIC: LiteralString = (
    READ_PAGE.replace("read_page", "read_page_of_topic")
    .replace("where xid = late.xid", "where topic = %(topic)s and xid = late.xid")
    .replace(
        "where shard = p.shard and seq > greatest", "where topic = %(topic)s and shard = p.shard and seq > greatest"
    )
)
"""Reads both ranges of one topic alone; by the same indexes, past what is of others."""


LOCK_TIMEOUT = "1s"
"""How long a read waits for somebody who has locked the table: whoever waits for the read has other duties too."""


class Reader:
    """Reads pages on a session of its own.

    Args:
        connection: a session of `relay.connection`; the reader pins its planner settings.
        rows: how many messages a page may have, shared among the shards that are known to have more.
        size: how many bytes of payload and overhead a page may have; the message that crosses it is still in.
        replicated: whether it is not enough that a page is flushed here.
    """

    def __init__(self, connection: "psycopg.Connection", *, rows: int, size: int, replicated: bool = False) -> None:
        self._connection = connection
        self._rows = rows
        self._size = size
        self._replicated = replicated
        self._last: int | None = None  # the shard that the last page ended in
        self._busy = 0  # shards that had more than the last page took
        self._mean = 0.0  # bytes a message of the last page
        walk_indexes(connection)
        pin(connection, "lock_timeout", LOCK_TIMEOUT)

    def close(self) -> None:
        """End the session."""
        self._connection.close()

    def of_topic(self, topic: str, positions: Mapping[int, Position], floor: int, most: int | None) -> Page:
        """Read what is due of one topic, in one round trip.

        Args:
            topic: the topic.
            positions: where it stands in each shard; at least one.
            floor: as for `read`.
            most: at most so many messages of all shards together; None for a page.

        Raises:
            As `read`.
        """
        fitting = self._limits(len(positions), None)["page"]
        most = min(most or fitting, fitting)
        return self._asked(
            READ_TOPIC, positions, floor, {"rows": most, "page": most, "bytes": self._size}, {"topic": topic}
        )

    def read(self, positions: Mapping[int, Position], floor: int, *, rows: int | None = None) -> Page:
        """Read what is due for some shards, in one round trip.

        Args:
            positions: where each shard stands; at least one.
            floor: the newest floor known to be safe with a snapshot taken from now on; an older one is only slower.
            rows: at most so many messages of each shard, instead of a share of the page.

        Raises:
            psycopg.errors.LockNotAvailable: somebody has locked the table for longer than `LOCK_TIMEOUT`.
            psycopg.Error: the session is lost or a right is missing.
        """
        statement = READ_PAGE if any(map(has_late, positions.values())) else READ_NEW
        return self._asked(statement, positions, floor, self._limits(len(positions), rows), {})

    def _asked(
        self,
        statement: LiteralString,
        positions: Mapping[int, Position],
        floor: int,
        limits: Mapping[str, int],
        more: Mapping[str, str],
    ) -> Page:
        in_turn = {shard: positions[shard] for shard in self._rotated(sorted(positions))}
        answer: list[Any] = self._connection.execute(
            statement, {**columns(in_turn), **limits, **more}, prepare=True, binary=True
        ).fetchall()
        page = _page(answer, list(in_turn), positions, floor, limits, replicated=self._replicated)
        self._learn(page)
        return page

    def _limits(self, shards: int, rows: int | None) -> dict[str, int]:
        """How many rows and bytes the next page may have.

        Bytes are a hard bound, but rows behind it are visited in vain, so the last page's mean size bounds the rows.
        """
        fitting = int(1.2 * self._size / self._mean) + shards if self._mean else self._rows
        page = max(1, min(self._rows, fitting))
        each = rows or max(1, page // (min(self._busy, shards) or shards))
        return {"rows": each, "page": page, "bytes": self._size}

    def _learn(self, page: Page) -> None:
        self._busy = sum(1 for position in page.after.values() if position.target)
        self._last = list(page.rows)[-1] if page.rows else None
        if page.count:
            self._mean = page.size / page.count

    def _rotated(self, shards: list[int]) -> list[int]:
        """Begin behind the shard that the last page ended in, so that a deep backlog of one starves no other."""
        cut = next((place for place, shard in enumerate(shards) if self._last is not None and shard > self._last), 0)
        return shards[cut:] + shards[:cut]


def _page(
    answer: list[Any],
    shards: Sequence[int],
    positions: Mapping[int, Position],
    floor: int,
    limits: Mapping[str, int],
    *,
    replicated: bool,
) -> Page:
    """Make a page of an answer: the head row first, then the messages shard by shard, then the row at the tail."""
    head, tail = answer[0], answer.pop()
    # Asked for at the end, for by then the commits that were under way at the beginning are mostly flushed.
    flushed = not replicated and _lsn(tail[3]) >= _lsn(head[3])
    # The floor of any horizon held is safe with every later snapshot as well, so the highest known one is.
    horizon = Horizon(head[2], max(floor, *(position.seen.floor for position in positions.values())))
    del answer[0]
    size = sum(map(itemgetter(-1), answer))
    full = size >= limits["bytes"] or len(answer) >= limits["page"]
    rows: dict[int, Sequence[Row]] = {shard: list(run) for shard, run in groupby(answer, itemgetter(0))}
    _check_order(shards, rows, len(answer))
    cut = list(rows)[-1] if full else None
    after: dict[int, Position] = {}
    for shard in shards:
        after[shard] = _moved(positions[shard], horizon, rows.get(shard, ()), limits["rows"], cut=shard == cut)
        if shard == cut:
            break
    return Page(rows, dict(positions), after, horizon, head[1], None if flushed else head[3], size)


def has_late(position: Position) -> bool:
    """Whether a position knows of transactions in progress (PostgreSQL, type `pg_snapshot`: `xmin:xmax:xip_list`)."""
    return not position.seen.snapshot.endswith(":")


def _lsn(text: str) -> int:
    """Return a WAL position as a number (PostgreSQL, type `pg_lsn`: two halves in hexadecimal)."""
    high, _, low = text.partition("/")
    return (int(high, 16) << 32) + int(low, 16)


def _moved(position: Position, horizon: Horizon, rows: Sequence[Row], limit: int, *, cut: bool) -> Position:
    """Where a shard stands behind these rows: under way when there may be more of the difference, else done with it."""
    if rows and (cut or len(rows) >= limit):
        return Position(position.seen, position.target or horizon, rows[-1][1])
    return Position(position.target or horizon)


def _check_order(shards: Sequence[int], rows: Mapping[int, Sequence[Row]], count: int) -> None:
    """Stop rather than publish out of order, should a plan ever return rows in another order than it promises."""
    places = [shards.index(shard) for shard in rows]
    numbers = [[row[1] for row in run] for run in rows.values()]
    in_order = all(all(map(lt, run, run[1:])) for run in numbers)
    if places != sorted(places) or not in_order or sum(map(len, numbers)) != count:
        raise AssertionError("PostgreSQL returned a page out of order; nothing of it was published")
