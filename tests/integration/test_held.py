"""The table of held messages: what is due, in which order, found along the indexes however much waits."""

import os
from collections.abc import Iterator

import psycopg
import pytest

from relay.blame import Fault
from relay.connection import connect
from relay.hold import Failure, Hold, Scope
from relay.holding.held import LEFT, READ_FAILED, READ_SCHEDULED, READ_WAITING, Due, Held
from relay.message import Row

REFUSED = Failure(Fault.MESSAGE, "MSG_SIZE_TOO_LARGE", "too large")
GONE = Failure(Fault.DESTINATION, "UNKNOWN_TOPIC_OR_PART", "no such topic")
ALL = range(16)

WRITE = "insert into outbox.message (topic, key, payload) values (%s, %s, 'x')"

READ = """
select shard, seq, id::text, topic, key, type, payload, content_type, headers::text, to_json(created_at)::text,
       false, 300
from outbox.message where seq = any(%s) order by seq
"""

Session = psycopg.Connection[tuple[object, ...]]


@pytest.fixture
def session(database: str) -> Iterator[Session]:
    with connect(database, "test") as connection:
        yield connection


@pytest.fixture
def held(session: Session) -> Held:
    return Held(session, rows=500, size=1 << 20)


def messages(session: Session, *queues: tuple[str, str | None]) -> list[Row]:
    """Write a message of each topic and key named, in order."""
    last = session.execute("select coalesce(max(seq), 0) from outbox.message").fetchone()
    session.cursor().executemany(WRITE, queues)
    assert last is not None
    written = [int(str(last[0])) + number + 1 for number in range(len(queues))]
    return [tuple(row) for row in session.execute(READ, (written,)).fetchall()]  # type: ignore[misc]


def _later(row: Row) -> Row:
    """The same, read while its time was still to come."""
    return (*row[:10], True, row[11])


def seqs(rows: list[Row]) -> list[int]:
    return [row[1] for row in rows]


def test_those_behind_a_failed_one_of_their_key_are_not_due_and_others_are(session: Session, held: Held) -> None:
    first, behind, other = messages(session, ("t", "a"), ("t", "a"), ("t", "b"))
    held.write([Hold(first, Scope.KEY, REFUSED, 1, 60.0), Hold(behind, Scope.KEY), Hold(other, Scope.KEY)])
    assert seqs(held.waiting(ALL).rows) == [other[1]]
    held.settle(Due(), [first], [], [])
    assert sorted(seqs(held.waiting(ALL).rows)) == [behind[1], other[1]]


def test_a_failure_of_a_topic_is_in_the_way_of_all_that_is_younger_in_every_shard(session: Session, held: Held) -> None:
    older, first, *younger = messages(session, *(("t", f"k{number}") for number in range(20)))
    (elsewhere,) = messages(session, ("other", "k0"))
    waiting = [Hold(row, Scope.TOPIC) for row in (older, *younger)]
    held.write([Hold(first, Scope.TOPIC, GONE, 0, 60.0), *waiting, Hold(elsewhere, Scope.KEY)])
    assert sorted(seqs(held.waiting(ALL).rows)) == [older[1], elsewhere[1]]
    assert held.look([]).away == {"t"}


def test_a_key_is_free_again_only_when_nothing_of_it_is_left(session: Session, held: Held) -> None:
    one, two = messages(session, ("t", "a"), ("t", "a"))
    queue = (one[0], "t", "a")
    held.write([Hold(one, Scope.KEY, REFUSED, 1, 60.0), Hold(two, Scope.KEY)])
    assert held.load(ALL) == {queue}
    assert held.settle(Due(), [one], [], [queue]) == {queue}
    assert held.settle(Due(), [two], [], [queue]) == set()
    assert held.load(ALL) == set()


def test_those_that_waited_for_a_topic_wait_for_its_refused_key_alone(session: Session, held: Held) -> None:
    first, same, other = messages(session, ("t", "a"), ("t", "a"), ("t", "b"))
    held.write([Hold(first, Scope.TOPIC, GONE, 0, 0.0), Hold(same, Scope.TOPIC), Hold(other, Scope.TOPIC)])
    held.settle(Due(), [], [Hold(first, Scope.KEY, REFUSED, 1, None)], [])
    assert seqs(held.waiting(ALL).rows) == [other[1]]
    held.settle(Due(), [other], [], [])
    assert held.load(ALL) == {(first[0], "t", "a")}


def test_failed_and_scheduled_ones_are_due_when_their_time_has_come(session: Session, held: Held) -> None:
    soon, later, dead = messages(session, ("t", "a"), ("t", "b"), ("t", "c"))
    retries = [(soon, 0.0), (later, 60.0), (dead, None)]
    held.write([Hold(row, Scope.KEY, REFUSED, 1, seconds) for row, seconds in retries])
    due = held.failed(ALL)
    assert (seqs(due.rows), due.failed) == ([soon[1]], {soon[1]: 1})
    assert held.scheduled(ALL).rows == []
    seconds = held.look(ALL).seconds
    assert seconds is not None
    assert seconds <= 0
    held.settle(Due(), [soon], [], [])
    seconds = held.look(ALL).seconds
    assert seconds is not None
    assert 50 < seconds <= 60


def test_scheduled_message_never_passes_older_ones_of_its_key(session: Session, held: Held) -> None:
    first, behind, scheduled = messages(session, ("t", "a"), ("t", "a"), ("t", "a"))
    for scope in (Scope.KEY, Scope.TOPIC):
        session.execute("delete from outbox.held")
        session.execute("update outbox.message set deliver_after = now() where seq = %s", (scheduled[1],))
        held.write([Hold(first, scope, GONE, 0, 60.0), Hold(behind, scope), Hold(_later(scheduled), Scope.NONE)])
        assert held.scheduled(ALL).rows == []
        held.settle(Due(), [first], [], [])
        assert (seqs(held.waiting(ALL).rows), held.scheduled(ALL).rows) == ([behind[1]], [])
        held.settle(Due(), [behind], [], [])
        assert seqs(held.scheduled(ALL).rows) == [scheduled[1]]


def test_message_with_a_key_longer_than_an_index_takes_is_held_like_any_other(session: Session, held: Held) -> None:
    key = os.urandom(20_000).hex()
    first, behind, other = messages(session, ("t", key), ("t", key), ("t", key + "x"))
    held.write([Hold(first, Scope.KEY, REFUSED, 1, 60.0), Hold(behind, Scope.KEY), Hold(other, Scope.KEY)])
    assert seqs(held.waiting(ALL).rows) == [other[1]]
    assert held.settle(Due(), [first], [], [(first[0], "t", key)]) == {(first[0], "t", key)}


def test_what_is_left_of_a_key_is_asked_along_the_index_however_much_waits_beside_it(
    session: Session, held: Held
) -> None:
    assert held
    session.execute(
        "insert into outbox.held (shard, seq, id, topic, key, payload, created_at, scope, due_at) "
        "select 1, n, gen_random_uuid(), 't', 'hot', 'x', now(), 'key', '-infinity' from generate_series(1, 20000) n"
    )
    filled = LEFT
    for name, value in {
        "shards": "'{1,1}'::smallint[]",
        "topics": "'{t,t}'::text[]",
        "keys": "'{a,null}'::text[]",
    }.items():
        filled = filled.replace(f"%({name})s", value)
    plan = [str(line) for (line,) in session.execute(f"explain (analyze, timing off) {filled}".encode())]
    for index in ("held_ordered", "held_halted"):
        assert len([line for line in plan if f"Index Only Scan using {index} " in line]) == 1, plan
    assert not [line for line in plan if "Rows Removed" in line], plan


def test_message_that_was_sent_is_sent_though_it_was_discarded_meanwhile(session: Session, held: Held) -> None:
    (row,) = messages(session, ("t", "a"))
    held.write([Hold(row, Scope.KEY, REFUSED, 1, 0.0)])
    session.execute("update outbox.held set settled_as = 'discarded', settled_at = now()")
    held.settle(Due(), [], [Hold(row, Scope.KEY, REFUSED, 2, 0.0)], [])
    assert session.execute("select settled_as, attempts from outbox.held").fetchall() == [("discarded", 1)]
    held.settle(Due(), [row], [], [])
    assert session.execute("select settled_as from outbox.held").fetchall() == [("sent",)]


def test_replay_that_meets_a_try_under_way_is_not_undone_by_its_failure(session: Session, held: Held) -> None:
    (row,) = messages(session, ("t", "a"))
    held.write([Hold(row, Scope.KEY, REFUSED, 4, 0.0)])
    due = held.failed(ALL)
    assert seqs(due.rows) == [row[1]]
    session.execute("update outbox.held set due_at = clock_timestamp(), attempts = 0")
    held.settle(due, [], [Hold(row, Scope.KEY, REFUSED, 5, None)], [])
    again = held.failed(ALL)
    assert again.failed == {row[1]: 0}
    held.settle(again, [], [Hold(row, Scope.KEY, REFUSED, 1, None)], [])
    assert session.execute("select dead, attempts from outbox.held").fetchall() == [(True, 1)]


@pytest.mark.parametrize(
    "statement", [READ_FAILED, READ_SCHEDULED, READ_WAITING], ids=["failed", "scheduled", "waiting"]
)
def test_what_is_due_is_found_along_the_indexes(session: Session, held: Held, statement: str) -> None:
    """However much waits: no sort, no scan of the table."""
    assert held
    session.execute(
        "insert into outbox.held (shard, seq, id, topic, key, payload, created_at, scope, due_at) "
        "select n % 16, n, gen_random_uuid(), 't', 'k' || n % 1000, 'x', now(), 'key', '-infinity' "
        "from generate_series(1, 20000) n"
    )
    filled = statement
    for name, value in {
        "shards": "'{0,1,2,3}'::smallint[]",
        "rows": "500",
        "bytes": "1000000",
        "stopped": "'{}'::text[]",
    }.items():
        filled = filled.replace(f"%({name})s", value)
    plan = "\n".join(str(line) for (line,) in session.execute(f"explain {filled}".encode()))
    assert "Sort" not in plan
    assert "Seq Scan" not in plan
    assert "held_due" in plan
    assert "held_failed" in plan
    assert ("held_ordered" in plan) == (statement is READ_SCHEDULED)


def test_a_deep_queue_is_read_page_by_page_to_its_end(session: Session, held: Held) -> None:
    session.execute(
        "insert into outbox.held (shard, seq, id, topic, key, payload, created_at, scope, due_at) "
        "select n % 16, n, gen_random_uuid(), 't', 'k' || n % 1000, 'x', now(), 'topic', '-infinity' "
        "from generate_series(1, 100000) n"
    )
    read: list[int] = []
    while rows := held.waiting(ALL).rows:
        held.settle(Due(), rows, [], [])
        read += seqs(rows)
    assert sorted(read) == list(range(1, 100_001))
