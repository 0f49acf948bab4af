"""What history and other people's transactions cost the relay: none of it may slow a drain or a poll down.

Against the same drain without it: a transaction that has been open since before the load; messages that were sent long
ago and are still in the table; a backlog that is one late commit (its transaction was open while others were read, so
all of it is read by the *late* path of `relay.reading.reader`). And an idle poll beside rows that nobody can see yet.
What is drained here is a third of the deep backlog at most, for a rate does not depend on how long it is kept up.
"""

import statistics
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime

import psycopg

from relay.bench import child
from relay.bench.figure import Figure, at_least, at_most
from relay.bench.ground import FILL, LOGICAL, Ground, Outbox, settle
from relay.bench.part import Say
from relay.bench.scale import Scale
from relay.bench.standin import StandIn, go_back, moment, stand_in
from relay.reading.progress import FLOOR_DISTANCE

POLLS = 200
"""Of which the median counts."""

WRITE_SOMETHING = """
-- write_something: in a transaction, so that it has an xid and is in everybody's snapshot as in progress
insert into outbox.message (topic, key, type, payload) values (%(topic)s, '0', 'bench.open', 'x')
"""


def measure(ground: Ground, scale: Scale, say: Say) -> Iterator[Figure]:
    """Drain beside an open transaction, behind much history and out of a late commit; poll beside what is invisible."""
    rows = min(scale.rows, scale.deep // 3)
    yield _beside_open(ground, rows, scale.runs, say)
    with ground.outbox(rows) as ordinary:
        yield _behind_history(ordinary, rows, scale, say)
        yield from _late_and_idle(ordinary, rows, scale.runs, say)


def _beside_open(ground: Ground, rows: int, runs: int, say: Say) -> Figure:
    beside, alone = [], []
    for run in range(1, runs + 1):
        say(f"history, run {run} of {runs}: {rows:,} messages beside a transaction open since before")
        with ground.outbox() as outbox:
            with _open(outbox) as session:
                session.execute(WRITE_SOMETHING, {"topic": LOGICAL})
                outbox.fill(rows)
                _drained(outbox)  # the first drain of a table finds the caches cold, and counts for neither
                outbox.forget()
                beside.append(_drained(outbox))
            outbox.forget()
            alone.append(_drained(outbox))
    return _compared(f"drain of {rows:,} messages, a transaction open since before", beside, alone, "without it", 0.95)


def _behind_history(ordinary: Outbox, rows: int, scale: Scale, say: Say) -> Figure:
    say(f"history: keeping {scale.kept:,} sent messages")
    with ordinary.ground.outbox(scale.kept) as old:
        with stand_in(old) as relay:
            relay.skip()
        before = moment(old)
        old.fill(rows)
        doing = f"{rows:,} messages behind {scale.kept:,} sent ones"
        behind, alone = _in_turn(old, ordinary, before, scale.runs, lambda run: say(f"history, {run}: {doing}"))
    return _compared(f"drain of {rows:,} messages, {scale.kept:,} sent ones kept", behind, alone, "none kept", 0.95)


def _late_and_idle(ordinary: Outbox, rows: int, runs: int, say: Say) -> Iterator[Figure]:
    with ordinary.ground.outbox() as late:
        say(f"history: {rows:,} messages that are not committed")
        with stand_in(late) as relay, _open(late) as session:
            yield from _idle(relay, session, rows)
            # Recorded with a floor behind all of them, and read once more with it: from there on they are late.
            relay.record()
            relay.poll()
            relay.record()
            session.execute("commit")
            settle(session)
        before = moment(late)
        doing = f"{rows:,} messages of one late commit, and as many ordinary ones"
        lates, ordinaries = _in_turn(late, ordinary, before, runs, lambda run: say(f"history, {run}: {doing}"))
    yield _compared(f"drain of {rows:,} messages of one late commit", lates, ordinaries, "as many ordinary ones", 0.7)


def _in_turn(one: Outbox, other: Outbox, before: datetime, runs: int, say: Say) -> tuple[list[float], list[float]]:
    """Drain two outboxes by turns, each time from where they stood at a moment; return the rates of each."""
    rates: tuple[list[float], list[float]] = [], []
    for run in range(1, runs + 1):
        say(f"run {run} of {runs}")
        for outbox, own in list(zip((one, other), rates, strict=True))[:: 1 if run % 2 else -1]:
            own.append(_drained(outbox))
            go_back(outbox, before)
    return rates


def _idle(relay: StandIn, session: "psycopg.Connection", rows: int) -> Iterator[Figure]:
    """Compare the idle polls before and after a transaction has inserted very many rows, and is still open."""
    without = relay.polls(POLLS)
    session.execute(FILL, {"topic": LOGICAL, "keys": 1000, "size": 300, "count": rows})
    yield _poll(
        f"idle poll beside {rows:,} uncommitted messages",
        relay.polls(POLLS),
        without,
        "the relay has renewed its floor behind all of them",
    )
    session.execute(FILL, {"topic": LOGICAL, "keys": 1000, "size": 300, "count": FLOOR_DISTANCE})
    yield _poll(
        f"the same, the last {FLOOR_DISTANCE:,} of them above the floor",
        relay.polls(POLLS),
        without,
        "the worst moment",
    )


def _compared(name: str, values: list[float], references: list[float], against: str, bound: float) -> Figure:
    return Figure(
        "history",
        name,
        statistics.median(values),
        "messages/s",
        statistics.median(references),
        against,
        at_least(bound),
        tuple(one / other for one, other in zip(values, references, strict=True)),
    )


def _poll(name: str, seconds: float, without: float, note: str) -> Figure:
    return Figure("history", name, seconds * 1e3, "ms", without * 1e3, "without them", at_most(2, "ratio"), note=note)


@contextmanager
def _open(outbox: Outbox) -> "Iterator[psycopg.Connection]":
    """Give a session inside a transaction, rolled back unless it was committed."""
    with outbox.connect() as session:
        session.execute("begin")
        yield session
        session.execute("rollback")


def _drained(outbox: Outbox) -> float:
    """Drain into a new topic; return the messages a second."""
    with outbox.ground.topic() as topic:
        return child.drain(outbox.environment({LOGICAL: topic})).rate
