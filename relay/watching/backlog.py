"""How the outbox is, for metrics: measured now and then beside the relaying, and kept, so no scrape asks PostgreSQL.

Each relay measures for itself: what one of them alone knew would be missing when that one hangs, which is when it
matters. A look takes tens of milliseconds, however deep the backlog, for no more than `COUNTED` messages are counted;
beyond that the number is told from the sequence.
"""

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import psycopg
from prometheus_client.core import GaugeMetricFamily, Metric

from relay import revision
from relay.watching.status import Status, look

COUNTED = 8_000
"""How many pending messages are counted, of all shards."""

STATES = ("scheduled", "retrying", "unreachable", "blocked", "dead", "replaying", "pending")
"""Those of held messages; `pending` are those whose turn has come."""

READ_CLOCK = """
-- read_clock
select extract(epoch from clock_timestamp())::float8
"""


@dataclass(frozen=True, slots=True)
class Backlog:
    """The outbox as one look found it."""

    status: Status
    at: float
    """When, by the monotonic clock."""
    took: float
    offset: float
    """By how many seconds the database's clock is ahead of this machine's."""

    @property
    def free_shards(self) -> int:
        """How many shards nobody leases."""
        return sum(shard.relay is None for shard in self.status.shards)

    @staticmethod
    def families(backlog: "Backlog | None") -> Iterator[Metric]:
        """Make the metrics; without samples where nothing was measured yet."""
        for name, meaning in MEANINGS.items():
            family = GaugeMetricFamily(f"outbox_relay_{name}", meaning)
            value = None if backlog is None else _values(backlog)[name]
            if value is not None:
                family.add_metric([], value)
            yield family
        states = GaugeMetricFamily("outbox_relay_held", "Messages that are set aside, by state.", labels=["state"])
        if backlog is not None:
            for state in STATES:
                states.add_metric([state], backlog.status.held.get(state, 0))
        yield states


MEANINGS: Mapping[str, str] = {
    "pending_messages": "Committed messages that no checkpoint covers; counted up to 8,000, beyond that estimated.",
    "pending_oldest_seconds": "Age of the oldest of them, 0 when there is none.",
    "backlog_bytes": "About what they take on PostgreSQL's disk.",
    "backlog_growth_bytes_per_second": "How fast that becomes more; below zero, less.",
    "disk_bytes": "What the whole outbox takes on PostgreSQL's disk.",
    "disk_budget_bytes": "What it may take; absent unless disk_budget is set.",
    "disk_runway_seconds": "Until it is full at this rate; absent without a budget, or while no backlog grows.",
    "blocked_keys": "Keys whose later messages wait behind one that failed.",
    "blocked_oldest_seconds": "For how long the first of those has been held, 0 when there is none.",
    "live_relays": "Relays that have joined.",
    "unhealthy_relays": "Of those, how many have been silent for more than 5 s.",
    "free_shards": "Shards that no relay leases: what is in them is not published.",
    "measured_age_seconds": "How old the measured values are.",
    "measured_duration_seconds": "How long measuring them took.",
}


def _values(backlog: Backlog) -> dict[str, float | None]:
    status, disk = backlog.status, backlog.status.disk
    left = None if disk.full_in_hours is None else disk.full_in_hours * 3_600
    return {
        "pending_messages": status.pending_estimate,
        "pending_oldest_seconds": status.oldest_pending_seconds or 0.0,
        "backlog_bytes": disk.backlog_bytes,
        "backlog_growth_bytes_per_second": disk.growth_bytes_per_hour / 3_600,
        "disk_bytes": disk.bytes,
        "disk_budget_bytes": disk.budget_bytes,
        "disk_runway_seconds": left,
        "blocked_keys": status.blocked.keys,
        "blocked_oldest_seconds": status.blocked.oldest_seconds or 0.0,
        "live_relays": len(status.relays),
        "unhealthy_relays": sum(relay.healthy is False for relay in status.relays),
        "free_shards": backlog.free_shards,
        "measured_age_seconds": time.monotonic() - backlog.at,
        "measured_duration_seconds": backlog.took,
    }


def measure(connection: "psycopg.Connection", disk_budget: int | None) -> Backlog:
    """Look at the outbox on a session that is used for nothing else.

    Raises:
        SchemaError: it is missing, too old or too new.
        PositionsForeign: nobody knows what is pending.
        psycopg.Error: it could not be read.
    """
    revision.check(connection).demand()
    began, here = time.monotonic(), time.time()
    ((there,),) = connection.execute(READ_CLOCK).fetchall()
    now = time.monotonic()
    offset = there - here - (now - began) / 2
    status = look(connection, COUNTED, disk_budget)
    return Backlog(status, time.monotonic(), time.monotonic() - began, offset)
