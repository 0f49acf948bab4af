"""The live relays, for an operator: who holds what, since when it is there, how busy it is. Reads only."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

import psycopg

from relay.leasing.fleet import sessions
from relay.leasing.silence import by_relay, silence

READ_RELAYS = """
-- read_relays
select name, pid, version, since, address, shards, shards_since, messages_per_second, checkpoint_at
from outbox.relays() order by name, pid
"""


@dataclass(frozen=True, slots=True)
class LiveRelay:
    """A live relay.

    `since` is when its session began, `silent_seconds` for how long its loop has sent no statement; both are None to a
    role that may not see them (`pg_read_all_stats`). `messages_per_second` is what its shards recorded in a minute.
    `version` and `shards_since`, when it took each of its shards, it says itself; one of an older release does not.
    """

    name: str
    pid: int
    version: str | None
    since: datetime | None
    address: str | None
    shards: Sequence[int]
    shards_since: Sequence[datetime | None]
    messages_per_second: float
    checkpoint_at: datetime | None
    silent_seconds: float | None

    def as_json(self) -> dict[str, Any]:
        """Return the same by name, with each shard since when it is held."""
        leases = zip(self.shards, self.shards_since, strict=True)
        values = asdict(self)
        del values["shards_since"]
        return {**values, "shards": [{"shard": shard, "since": since} for shard, since in leases]}


def read(connection: "psycopg.Connection") -> list[LiveRelay]:
    """Read which relays are alive."""
    found = connection.execute(READ_RELAYS).fetchall()
    own = by_relay(sessions(connection))
    return [LiveRelay(*(*row, silence(own.get(row[1], ())))) for row in found]
