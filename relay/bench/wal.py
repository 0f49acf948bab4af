"""How much WAL the relay writes for a message, beyond what the message's own insert writes.

In a drain nobody else writes, so that all of it is the relay's. Under a steady load it is what the server writes while
the relay works, less what the very same number of inserts and commits write on the same table without a relay. Nothing
else may write to the server meanwhile.

Images of whole pages come with the first change of each page after a checkpoint of PostgreSQL, however few messages
there are, so each measurement begins behind such a checkpoint and a load that has touched the pages; if another comes
in between, it is said. Autovacuum is kept away from the tables, and finds nothing to do in the catalogs. The record of
what is running that PostgreSQL itself writes every 15 s has some 100 bytes, and stays in.
"""

import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass

import psycopg

from relay.bench import child, working
from relay.bench.clients import Clients, clients
from relay.bench.figure import Figure, at_most
from relay.bench.ground import LOGICAL, Ground, Outbox
from relay.bench.part import Say
from relay.bench.scale import Scale

GOALS = {200: 100.0, 2000: 15.0}
"""Bytes a message at most, by messages a second."""

DRAIN_GOAL = 5.0

SESSIONS = 4
"""Of the application. One alone would wait for its commits more than 2,000 times a second allow on slow disks."""

WRITTEN = """
-- written: the end of the WAL, and where the last checkpoint of PostgreSQL began
select pg_current_wal_insert_lsn() - '0/0'::pg_lsn, redo_lsn::text from pg_control_checkpoint()
"""

VACUUM = """
-- vacuum_all: a new database's catalogs are due for autovacuum, which would come at a moment of its own
vacuum (analyze)
"""

CHECKPOINT = "-- checkpoint\ncheckpoint"

WARM_UP = 2_000
"""Messages."""

OTHERS_MATTER = 1_000
"""Bytes a second: the server's own record of what is running comes to a hundredth of that."""

NEARLY = 0.95
"""The share of a rate from which on it counts as reached."""


@dataclass(frozen=True, slots=True)
class Written:
    """What was written between two looks at the WAL."""

    bytes: int
    undisturbed: bool
    """Whether PostgreSQL made no checkpoint meanwhile."""


class Meter:
    """Reads how much WAL was written since the last look.

    Args:
        session: any session of the server.
    """

    def __init__(self, session: "psycopg.Connection") -> None:
        self._session = session
        self._at, self._redo = self._look()

    def since(self) -> Written:
        """Return what was written since the last call, or since it was made."""
        at, redo = self._look()
        written = Written(at - self._at, redo == self._redo)
        self._at, self._redo = at, redo
        return written

    def _look(self) -> tuple[int, str]:
        ((at, redo),) = self._session.execute(WRITTEN).fetchall()
        return int(at), redo


@dataclass(frozen=True, slots=True)
class Load:
    """A steady load, and what the server wrote for each of its messages."""

    bytes: float
    reached: float
    """Commits a second."""
    undisturbed: bool


def measure(ground: Ground, scale: Scale, say: Say) -> Iterator[Figure]:
    """Read the WAL behind a drain, and beside steady loads with a relay and without."""
    with ground.outbox() as outbox, clients(outbox, SESSIONS) as sessions, outbox.connect() as session:
        session.execute(VACUUM)
        meter = Meter(session)
        yield _drain(outbox, min(scale.rows, scale.deep // 3), scale.runs, meter, say)
        others = _others(meter, scale.seconds / 8)
        session.execute(CHECKPOINT)
        worked, alone, runs, seconds = [], [], scale.runs + 1, scale.seconds / 3
        for run in range(1, runs + 1):
            say(f"wal, run {run} of {runs}: {' and '.join(f'{rate:,}' for rate in GOALS)} messages/s")
            worked.append(_with_relay(outbox, sessions, meter, seconds))
            alone.append({rate: _load(sessions, meter, rate, seconds, None) for rate in GOALS})
    for rate, goal in GOALS.items():
        yield _beyond([run[rate] for run in worked], [run[rate] for run in alone], rate, goal, others)


def _drain(outbox: Outbox, rows: int, runs: int, meter: Meter, say: Say) -> Figure:
    say(f"wal: drain of {rows:,} messages")
    outbox.fill(rows)
    values = []
    for _ in range(runs):
        meter.since()
        with outbox.ground.topic() as topic:
            child.drain(outbox.environment({LOGICAL: topic}))
        values.append(meter.since().bytes / rows)
        outbox.forget()
    name = f"WAL a message, drain of {rows:,}"
    return Figure("wal", name, statistics.median(values), "B", goal=at_most(DRAIN_GOAL), runs=tuple(values))


def _others(meter: Meter, seconds: float) -> str:
    """Say whether somebody else writes to this server, from what comes while we do not."""
    meter.since()
    time.sleep(seconds)
    rate = meter.since().bytes / seconds
    return f"others write {rate:,.0f} B/s to this server" if rate > OTHERS_MATTER else ""


def _with_relay(outbox: Outbox, sessions: Clients, meter: Meter, seconds: float) -> dict[int, Load]:
    """Load the outbox at each rate while a relay works, after a load that touches every page that will be changed."""
    with outbox.ground.topic() as topic, working.relay(outbox, topic):
        sessions.commit_messages(WARM_UP, clients=SESSIONS)
        working.until_sent(outbox)
        return {rate: _load(sessions, meter, rate, seconds, outbox) for rate in GOALS}


def _load(sessions: Clients, meter: Meter, rate: int, seconds: float, published: Outbox | None) -> Load:
    """Commit as many messages as a rate gives; at that rate and until they are sent where a relay publishes them."""
    count = int(rate * seconds) // SESSIONS * SESSIONS
    meter.since()
    began = time.perf_counter()
    sessions.commit_messages(count, clients=SESSIONS, per_second=rate if published else None)
    took = time.perf_counter() - began
    if published:
        working.until_sent(published)
    written = meter.since()
    return Load(written.bytes / count, count / took, written.undisturbed)


def _beyond(worked: list[Load], alone: list[Load], rate: int, goal: float, others: str) -> Figure:
    beyond = [one.bytes - other.bytes for one, other in zip(worked, alone, strict=True)]
    reached = statistics.median(load.reached for load in worked)
    notes = [others]
    if reached < NEARLY * rate:
        notes.append(f"only {reached:,.0f} messages/s were reached")
    if not all(load.undisturbed for load in (*worked, *alone)):
        notes.append("PostgreSQL made a checkpoint meanwhile, and wrote whole pages behind it")
    return Figure(
        "wal",
        f"WAL a message beyond its insert, at {rate:,} messages/s",
        statistics.median(beyond),
        "B",
        statistics.median(load.bytes for load in alone),
        "the insert and its commit",
        at_most(goal),
        tuple(beyond),
        "; ".join(filter(None, notes)),
    )
