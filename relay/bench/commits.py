"""What the doorbell costs applications: their commits a second, with it and without.

Every transaction inserts a row of a domain table and an outbox message. What is compared works on one table in short
slices, in turn, and the turn is reversed from lap to lap, so that a drift of the machine meets all. Where the doorbell
is off its trigger is disabled and the relay only polls; both relays publish all the while, so that both take their
share of the processors. One slice in each lap runs beside a transaction that has inserted and stays open: it was
given the shared lock of its shard, so a relay cannot silence that shard.
"""

import statistics
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import psycopg

from relay import locks
from relay.bench import working
from relay.bench.clients import MESSAGE, Clients, clients
from relay.bench.figure import Figure, at_least
from relay.bench.ground import Ground, Outbox
from relay.bench.part import Say
from relay.bench.scale import Scale
from relay.watching import status

FEW, MANY = 16, 64
"""How many clients commit at once."""

COUNTED_SECONDS = 0.7
"""Of each slice, at most: short, so that many fit and alternate."""

IGNORED_SECONDS = 1.0
"""At the beginning of each slice with a relay, at most: the goal is for one that is awake, and waking takes time."""

BACKLOG_KNOWN = 20_000
"""Up to how many pending messages are counted at the end of a slice."""

SWITCH = """
-- switch_doorbell: on each partition, for before PostgreSQL 15 the change stops at the partitioned table
do $do$
declare
    its record;
begin
    for its in select inhrelid::regclass as name from pg_inherits where inhparent = 'outbox.message'::regclass loop
        execute format('alter table %s {} trigger doorbell', its.name);
    end loop;
end
$do$
"""

SILENCED = """
-- silenced: how many shards' doorbells a relay keeps silent
select count(*) from pg_locks
where locktype = 'advisory' and granted and mode = 'ExclusiveLock' and classid::bigint = %(doorbell)s
  and database = (select oid from pg_database where datname = current_database())
"""

INSERT = """
-- insert_and_stay
insert into outbox.message (topic, key, type, payload) values (%(topic)s, '0', 'bench.open', %(payload)s)
"""

RELAYS = ("doorbell", "polling")
ALONE = ("no relay", "plain")
AGAINST = {RELAYS: "trigger disabled, relay polls", ALONE: "second insert into a plain table"}


@dataclass
class Results:
    """What was seen, by variant and clients; the clients beside an open transaction have a name of their own."""

    rates: dict[tuple[str, str], list[float]] = field(default_factory=lambda: defaultdict(list))
    looks: dict[tuple[str, str], list[int]] = field(default_factory=lambda: defaultdict(list))
    backlogs: dict[str, int] = field(default_factory=lambda: defaultdict(int))


@dataclass(frozen=True)
class Course:
    """Where the laps are run, and how many seconds of a slice count and do not."""

    outbox: Outbox
    topic: str
    sessions: Clients
    watch: "psycopg.Connection"
    ignored: float
    counted: float
    results: Results = field(default_factory=Results)

    def lap(self, variants: tuple[str, ...]) -> None:
        """Run every slice of some variants once."""
        for variant in variants:
            self.watch.execute(SWITCH.format("disable" if variant == "polling" else "enable"))
            if variant in ALONE:
                self._slices(variant)
                continue
            with working.relay(self.outbox, self.topic, doorbell=variant == "doorbell"):
                with _open_transaction(self.outbox):
                    self._slice(variant, "open", FEW)
                self._slices(variant)

    def _slices(self, variant: str) -> None:
        for count in (FEW, MANY):
            self._slice(variant, str(count), count)

    def _slice(self, variant: str, name: str, count: int) -> None:
        looks = self.results.looks[variant, name]
        rate = self.sessions.commits_a_second(
            count,
            self.ignored if variant in RELAYS else self.ignored / 5,
            self.counted,
            plain=variant == "plain",
            meanwhile=lambda: looks.append(_silenced(self.watch)),
        )
        self.results.rates[variant, name].append(rate)
        if variant in RELAYS:
            pending = status.read(self.outbox.database_url, most=BACKLOG_KNOWN).pending
            self.results.backlogs[variant] = max(self.results.backlogs[variant], pending)
            working.until_sent(self.outbox)


def measure(ground: Ground, scale: Scale, say: Say) -> Iterator[Figure]:
    """Compare commits a second with the doorbell and without, with few and many clients, and say what else they are."""
    ignored, counted = (min(most, scale.seconds / 8) for most in (IGNORED_SECONDS, COUNTED_SECONDS))
    laps = max(1, round(scale.seconds / (IGNORED_SECONDS + COUNTED_SECONDS)))
    with (
        ground.outbox() as outbox,
        ground.topic() as topic,
        clients(outbox, MANY) as sessions,
        outbox.connect() as watch,
    ):
        course = Course(outbox, topic, sessions, watch, ignored, counted)
        for number in range(1, laps + 1):
            say(f"commits, lap {number} of {laps}: with the doorbell, polling, without a relay, into a plain table")
            course.lap((RELAYS + ALONE)[:: 1 if number % 2 else -1])
        yield from _figures(course.results, outbox)


@contextmanager
def _open_transaction(outbox: Outbox) -> Iterator[None]:
    """Keep a transaction open that has inserted."""
    with outbox.connect() as connection:
        connection.execute("begin")
        connection.execute(INSERT, MESSAGE)
        yield
        connection.execute("rollback")


def _silenced(watch: "psycopg.Connection") -> int:
    return int(watch.execute(SILENCED, {"doorbell": locks.DOORBELL}).fetchall()[0][0])


def _figures(results: Results, outbox: Outbox) -> Iterator[Figure]:
    shards = len(status.read(outbox.database_url).shards)
    backlogs = ", ".join(f"{backlog:,} pending at most, {variant}" for variant, backlog in results.backlogs.items())
    for name, words in {
        str(FEW): f"{FEW} clients",
        str(MANY): f"{MANY} clients",
        "open": f"{FEW} clients beside an open transaction",
    }.items():
        looks = results.looks["doorbell", name]
        note = f"{silent(looks, shards):.0%} of the shards silenced in {len(looks)} looks; {backlogs}"
        yield _compared(results, RELAYS, name, f"commits/s with the doorbell, {words}", note)
    for count in (FEW, MANY):
        yield _compared(results, ALONE, str(count), f"commits/s without a relay, {count} clients", "every commit rings")


def silent(looks: Sequence[int], shards: int) -> float:
    """Return the share of the shards whose doorbell a relay kept silent.

    Args:
        looks: how many shards it were at each look; none where a slice was shorter than the time between two.
        shards: how many there are.
    """
    return statistics.mean(looks) / shards if looks else 0.0


def _compared(results: Results, variants: tuple[str, str], name: str, words: str, note: str) -> Figure:
    value, reference = (results.rates[variant, name] for variant in variants)
    return Figure(
        "commits",
        words,
        statistics.median(value),
        "commits/s",
        statistics.median(reference),
        AGAINST[variants],
        at_least(0.95) if variants == RELAYS else None,
        tuple(one / other for one, other in zip(value, reference, strict=True)),
        note,
    )
