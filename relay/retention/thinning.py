"""Which records of what was sent nobody needs any more, and their deletion in small steps.

Guarantees: a shard's newest checkpoint stays, and so does the newest of those that are as old as the retention, from
which emptying a slot is decided; a snapshot stays while a checkpoint refers to it; a held message stays until it was
settled so long ago and its row in `outbox.message` is gone, for that would else pass for sent though it was discarded.
Each step is a commit of its own, so that nobody waits for it and a stop in the middle leaves nothing half done.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, LiteralString

import psycopg

STEP = 10_000
"""How many rows one statement deletes at most: a tenth of a second. Nobody else ever waits for one of them."""

WHOLE_SECONDS = 3_600.0
"""For how long all checkpoints are kept; of those older than that, about one per shard and minute."""

READ_SHARDS = """
-- read_shards
select generate_series(0, outbox.shard_count() - 1)
"""

CHECKPOINTS: LiteralString = """
select batch
from (
    select batch, sent_at, lead(sent_at) over (order by batch) as next_at
    from outbox.checkpoint where shard = %(shard)s
) as checkpoint
where next_at <= statement_timestamp() - make_interval(secs => %(retention)s)
   or next_at <= statement_timestamp() - make_interval(secs => %(whole)s)
      and date_trunc('minute', next_at) = date_trunc('minute', sent_at)
"""
"""What makes a checkpoint of a shard superfluous is the one behind it: that is older than the retention as well, or is
of the same minute. The newest has none behind it."""

SNAPSHOTS: LiteralString = """
select id
from outbox.snapshot as snapshot
where not exists (select from outbox.checkpoint where seen = snapshot.id)
  and not exists (select from outbox.checkpoint where target = snapshot.id)
"""
"""Once no checkpoint refers to a snapshot none ever will again: a relay refers anew only to those that the newest
checkpoints of its own shards refer to."""

HELD: LiteralString = """
select shard, seq
from outbox.held as held
where settled_at <= statement_timestamp() - make_interval(secs => %(retention)s)
  and not exists (select from outbox.message as message where message.shard = held.shard and message.seq = held.seq)
"""

DELETE_CHECKPOINTS: LiteralString = """
-- delete_checkpoints: of one shard those that are superfluous, some at a time
delete from outbox.checkpoint
where shard = %(shard)s and batch = any (array({superfluous} limit %(step)s))
""".replace("{superfluous}", CHECKPOINTS)

DELETE_SNAPSHOTS: LiteralString = """
-- delete_snapshots: those that no checkpoint refers to, some at a time
delete from outbox.snapshot where id = any (array({superfluous} limit %(step)s))
""".replace("{superfluous}", SNAPSHOTS)

DELETE_HELD: LiteralString = """
-- delete_held: those that were settled long ago and whose messages are gone, some at a time. The time is asked for
-- once more on the row itself: an operator may have made it due again meanwhile.
delete from outbox.held
where (shard, seq) in ({superfluous} limit %(step)s)
  and settled_at <= statement_timestamp() - make_interval(secs => %(retention)s)
""".replace("{superfluous}", HELD)

COUNT_CHECKPOINTS: LiteralString = """
-- count_checkpoints: of one shard those that are superfluous
select count(*) from ({superfluous}) as superfluous
""".replace("{superfluous}", CHECKPOINTS)

COUNT_HELD: LiteralString = """
-- count_held: those that were settled long ago and whose messages are gone
select count(*) from ({superfluous}) as superfluous
""".replace("{superfluous}", HELD)


@dataclass(frozen=True, slots=True)
class Thinned:
    """How many records were deleted, or would be; `snapshots` is None where nobody counted them."""

    checkpoints: int = 0
    snapshots: int | None = None
    held: int = 0


class Thinning:
    """Deletes the records that are older than they need be, on a session of its own.

    Args:
        connection: a session of `relay.connection`, in autocommit mode.
        retention: for how many seconds sent messages are kept.
    """

    def __init__(self, connection: "psycopg.Connection", retention: float) -> None:
        self._connection = connection
        self._parameters = {"retention": retention, "whole": WHOLE_SECONDS, "step": STEP}
        self._shards = [int(shard) for (shard,) in connection.execute(READ_SHARDS).fetchall()]

    def count(self) -> Thinned:
        """Count what would be deleted, and delete nothing. Snapshots follow their checkpoints, and are not counted."""
        checkpoints = sum(self._count(COUNT_CHECKPOINTS, shard=shard) for shard in self._shards)
        return Thinned(checkpoints=checkpoints, held=self._count(COUNT_HELD))

    def delete(self, stopping: Callable[[], bool]) -> Thinned:
        """Delete in small steps, as long as nobody says that it is time to stop."""
        return Thinned(
            checkpoints=sum(self._delete(DELETE_CHECKPOINTS, stopping, shard=shard) for shard in self._shards),
            snapshots=self._delete(DELETE_SNAPSHOTS, stopping),
            held=self._delete(DELETE_HELD, stopping),
        )

    def _delete(self, statement: LiteralString, stopping: Callable[[], bool], **parameters: Any) -> int:
        deleted = 0
        while not stopping():
            step = self._connection.execute(statement, {**self._parameters, **parameters}).rowcount
            deleted += step
            if step < STEP:
                break
        return deleted

    def _count(self, statement: LiteralString, **parameters: Any) -> int:
        row = self._connection.execute(statement, {**self._parameters, **parameters}).fetchone()
        assert row is not None
        return int(row[0])
