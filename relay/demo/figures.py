"""The counts: while the demo runs, for the screen, and at its end, for the verdict. Reads only.

What is committed is asked of PostgreSQL, what was rolled back of those who did it, what arrived of the judge.
The relays are asked for nothing that the verdict rests on.
"""

from dataclasses import dataclass
from statistics import median

import psycopg

from relay.errors import WorkFailed
from relay.judge import Verdict, Watch, verdict
from relay.watching import status

COUNT = """
-- count: messages committed, and those that a checkpoint says were sent
select (select count(*) from outbox.message), (select coalesce(sum(sent), 0)::bigint from outbox.checkpoint)
"""

COUNT_ROLLED_BACK = """
-- count_rolled_back
select count(*) from edu.rolled_back
"""

READ_COMMITTED = """
-- read_committed: in the application's own order, which it counted under the lock on the user's row
select id::text, topic, key from outbox.message order by (convert_from(payload, 'UTF8')::jsonb ->>
'n')::bigint
"""

READ_ROLLED_BACK = """
-- read_rolled_back
select message_id::text from edu.rolled_back
"""

READ_TOLD = """
-- read_told: how many messages the application's own tables say it has committed
select coalesce(sum(told), 0)::bigint from edu.users
"""


@dataclass(frozen=True, slots=True)
class Figures:
    """The state of the demo at one moment; numbers of messages, unless said otherwise."""

    committed: int = 0
    rolled_back: int = 0
    published: int = 0
    consumed: int = 0
    latency: float | None = None
    """Median seconds from the insert to the consumer, of what arrived last."""
    relays: tuple[tuple[str, int], ...] = ()
    """The live relays and how many shards each holds."""

    @property
    def lag(self) -> int:
        """Committed and not yet consumed."""
        return max(0, self.committed - self.consumed)


@dataclass(frozen=True, slots=True)
class Account:
    """What the verdict is made of."""

    verdict: Verdict
    rolled_back: int
    told: int
    """Messages that the application's own tables say it has committed."""


class Counter:
    """Looks at the database and at the judge, as often as asked."""

    def __init__(self, database_url: str, connection: "psycopg.Connection", watch: Watch) -> None:
        """Prepare to count.

        Args:
            database_url: where the outbox is.
            connection: a session there, in autocommit mode, for the counting alone.
            watch: the judge.
        """
        self._database_url = database_url
        self._connection = connection
        self._watch = watch
        self._ids: set[str | None] = set()
        self._looked = 0
        self._latency: float | None = None

    def look(self) -> Figures:
        """Count now."""
        fresh = self._watch.seen[self._looked :]
        self._looked += len(fresh)
        self._ids.update(message.id for message in fresh)
        ages = [message.age for message in fresh if message.age is not None]
        self._latency = median(ages) if ages else self._latency
        # Consumed was looked at first, so that what is committed in between does not look overtaken.
        committed, published = self._connection.execute(COUNT).fetchall()[0]
        return Figures(
            committed=committed,
            rolled_back=self._rolled_back(),
            published=published,
            consumed=len(self._ids),
            latency=self._latency,
            relays=self._relays(),
        )

    def settle(self) -> Account:
        """Let the judge read to the end, and compare. Writers and relays must be done."""
        seen = self._watch.finish()
        committed = self._connection.execute(READ_COMMITTED).fetchall()
        rolled_back = {row[0] for row in self._connection.execute(READ_ROLLED_BACK)}
        told = self._connection.execute(READ_TOLD).fetchall()[0][0]
        return Account(verdict(committed, rolled_back, seen), len(rolled_back), told)

    def _rolled_back(self) -> int:
        try:
            return int(self._connection.execute(COUNT_ROLLED_BACK).fetchall()[0][0])
        except psycopg.errors.UndefinedTable:  # the writers have not made it yet
            return 0

    def _relays(self) -> tuple[tuple[str, int], ...]:
        try:
            found = status.read(self._database_url)
        except WorkFailed:  # no more than a gap on the screen
            return ()
        return tuple(sorted((relay.name, len(relay.shards)) for relay in found.relays))
