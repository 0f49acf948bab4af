"""The live relays, for an operator: who holds what, since when it is there, how busy it is. Reads only."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

import psycopg

from relay import locks
from relay.leasing.fleet import sessions
from relay.leasing.silence import by_relay, silence

READ_RELAYS = """
-- read_relays: each live relay with its shards, since when it is there, and what was recorded of them in a minute
with locked as materialized (
    select l.pid, l.classid::bigint as class, l.objid::bigint as number
    from pg_locks l
    where l.locktype = 'advisory' and l.objsubid = 2 and l.granted
      and l.database = (select oid from pg_database where datname = current_database())
)
select coalesce(a.application_name, ''), member.pid, a.backend_start, host(a.client_addr),
       array(select number::int from locked where pid = member.pid and class = %(lease)s order by number) as shards,
       recent.sent / 60.0, recent.at
from locked member
left join pg_stat_activity a on a.pid = member.pid
cross join lateral (
    select coalesce(sum(c.sent) filter (where c.sent_at > clock_timestamp() - interval '1 minute'), 0)::float8 as sent,
           max(c.sent_at) as at
    from locked lease
    cross join lateral (
        select sent, sent_at from outbox.checkpoint where shard = lease.number order by batch desc limit 300
    ) as c
    where lease.pid = member.pid and lease.class = %(lease)s
) as recent
where member.class = %(member)s and member.number = 0
order by 1, 2
"""


@dataclass(frozen=True, slots=True)
class LiveRelay:
    """A live relay.

    `since` is when its session began, `silent_seconds` for how long its loop has sent no statement; both are None to a
    role that may not see them (`pg_read_all_stats`). `messages_per_second` is what its shards recorded in a minute.
    """

    name: str
    pid: int
    since: datetime | None
    address: str | None
    shards: Sequence[int]
    messages_per_second: float
    checkpoint_at: datetime | None
    silent_seconds: float | None

    def as_json(self) -> dict[str, Any]:
        """Return the same as JSON values."""
        values = asdict(self)
        for name in ("since", "checkpoint_at"):
            values[name] = values[name] and values[name].astimezone(UTC).isoformat()
        return values


def read(connection: "psycopg.Connection") -> list[LiveRelay]:
    """Read which relays are alive."""
    found = connection.execute(READ_RELAYS, {"lease": locks.LEASE, "member": locks.MEMBER}).fetchall()
    own = by_relay(sessions(connection))
    return [
        LiveRelay(
            name.removeprefix(locks.application_name("")),
            pid,
            since,
            address,
            shards,
            rate,
            at,
            silence(own.get(pid, ())),
        )
        for name, pid, since, address, shards, rate, at in found
    ]
