"""Two operators, or an operator and a relay, act on the same messages at the same moment."""

import random
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import psycopg
import pytest
from psycopg import errors

from tests.integration.holding import hold, send, state
from tests.seeds import seeds

SECONDS = 60

SETTLE = """
-- settle_sent: what a relay does once Kafka has acknowledged a held message
update outbox.held set settled_as = 'sent', settled_at = clock_timestamp() where id = any(%s)
"""

BLOCKED = """
-- blocked: whether a session waits for another's lock
select cardinality(pg_blocking_pids(%s)) > 0
"""


@pytest.fixture
def sessions(database: str) -> Iterator[list["psycopg.Connection"]]:
    """Two sessions whose transactions stay open until they are ended, and one to look on."""
    opened = [psycopg.connect(database), psycopg.connect(database), psycopg.connect(database, autocommit=True)]
    yield opened
    for connection in opened:
        connection.close()


@pytest.fixture
def background() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor() as threads:
        yield threads


def call(session: "psycopg.Connection", function: str, **values: Any) -> tuple[int | None, int]:
    found = session.execute(f"select act, messages from outbox.{function}".encode(), values).fetchone()
    assert found is not None
    return tuple(found)


def call_and_commit(session: "psycopg.Connection", function: str, **values: Any) -> tuple[int | None, int]:
    with session.transaction():
        return call(session, function, **values)


def until_blocked(session: "psycopg.Connection", onlooker: "psycopg.Connection", call: "Future[Any]") -> None:
    deadline = time.monotonic() + SECONDS
    while not onlooker.execute(BLOCKED, [session.info.backend_pid]).fetchall()[0][0]:
        assert not call.done(), call.result()
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.parametrize(("first", "second"), [("discard", "replay"), ("replay", "discard"), ("discard", "discard")])
def test_the_second_of_two_operators_waits_and_acts_on_what_is_left(
    sessions: list["psycopg.Connection"], background: ThreadPoolExecutor, first: str, second: str
) -> None:
    one, two, onlooker = sessions
    hold(onlooker, "dead", 10, topic="orders")
    hold(onlooker, "dead", 5, topic="mails")
    assert call(one, f"{first}('first', topic => 'orders')") == (1, 10)
    waiting = background.submit(call_and_commit, two, f"{second}('second', everything => true)")
    until_blocked(two, onlooker, waiting)
    one.commit()
    left = 5 if first == "discard" else 15
    assert waiting.result(SECONDS) == (2, left)
    recorded = onlooker.execute("select act, why, messages from outbox.operator_act order by id").fetchall()
    assert recorded == [(first, "first", 10), (second, "second", left)]


def test_the_second_of_two_who_name_one_message_is_told_what_the_first_did(
    sessions: list["psycopg.Connection"], background: ThreadPoolExecutor
) -> None:
    one, two, onlooker = sessions
    made = hold(onlooker, "dead")
    call(one, "discard('first', ids => %(ids)s)", ids=made)
    waiting = background.submit(call_and_commit, two, "replay('second', ids => %(ids)s)", ids=made)
    until_blocked(two, onlooker, waiting)
    one.commit()
    with pytest.raises(errors.ObjectNotInPrerequisiteState, match="was discarded at"):
        waiting.result(SECONDS)


def test_two_who_publish_the_same_anew_do_so_once(
    sessions: list["psycopg.Connection"], background: ThreadPoolExecutor
) -> None:
    one, two, onlooker = sessions
    send(onlooker, 20)
    assert call(one, "replay('first', topic => 'orders', sent => true)") == (1, 20)
    waiting = background.submit(call_and_commit, two, "replay('second', everything => true, sent => true)")
    until_blocked(two, onlooker, waiting)
    one.commit()
    assert waiting.result(SECONDS) == (None, 0)
    assert onlooker.execute("select count(*), max(replay) from outbox.held").fetchall() == [(20, 1)]


@pytest.mark.parametrize("function", ["replay", "discard"])
def test_what_a_relay_settles_first_is_not_counted(
    sessions: list["psycopg.Connection"], background: ThreadPoolExecutor, function: str
) -> None:
    relay, operator, onlooker = sessions
    made = hold(onlooker, "retrying", 10)
    relay.execute(SETTLE, [made[:4]])
    waiting = background.submit(call_and_commit, operator, f"{function}('why', topic => 'orders')")
    until_blocked(operator, onlooker, waiting)
    relay.commit()
    assert waiting.result(SECONDS) == (1, 6)
    assert [state(onlooker, id_) for id_ in made[:4]] == ["sent"] * 4


def test_what_a_relay_settles_first_is_refused_by_its_id_and_nothing_is_done(
    sessions: list["psycopg.Connection"], background: ThreadPoolExecutor
) -> None:
    relay, operator, onlooker = sessions
    made = hold(onlooker, "retrying", 3)
    relay.execute(SETTLE, [made[:1]])
    waiting = background.submit(call_and_commit, operator, "discard('why', ids => %(ids)s)", ids=made)
    until_blocked(operator, onlooker, waiting)
    relay.commit()
    with pytest.raises(errors.ObjectNotInPrerequisiteState, match=f"^message {made[0]} was sent at"):
        waiting.result(SECONDS)
    assert [state(onlooker, id_) for id_ in made] == ["sent", "retrying", "retrying"]


def test_two_who_do_the_same_in_another_order_take_turns_and_never_deadlock(
    sessions: list["psycopg.Connection"], background: ThreadPoolExecutor
) -> None:
    one, two, onlooker = sessions
    hold(onlooker, "dead", 5, topic="a")
    hold(onlooker, "dead", 5, topic="b")

    def the_other_way_round() -> list[int]:
        with two.transaction():
            return [call(two, f"discard('second', topic => '{topic}')")[1] for topic in ("b", "a")]

    assert call(one, "discard('first', topic => 'a')") == (1, 5)
    waiting = background.submit(the_other_way_round)
    until_blocked(two, onlooker, waiting)
    assert call(one, "discard('first', topic => 'b')") == (2, 5)
    one.commit()
    assert waiting.result(SECONDS) == [0, 0]


def test_rows_are_locked_in_the_order_of_their_key_so_that_who_does_the_same_never_deadlocks(
    sessions: list["psycopg.Connection"], background: ThreadPoolExecutor
) -> None:
    """The operator waits for the first row and so holds none of those behind it, which the other takes next."""
    other, operator, onlooker = sessions
    hold(onlooker, "dead", 300)
    lock = "select id from (select * from outbox.held order by shard, seq {} for update) as h"
    assert len(other.execute(lock.format("limit 1").encode()).fetchall()) == 1
    waiting = background.submit(call_and_commit, operator, "discard('why', everything => true)")
    until_blocked(operator, onlooker, waiting)
    other.execute("set local lock_timeout = '10s'")
    assert len(other.execute(lock.format("offset 1").encode()).fetchall()) == 299
    other.commit()
    assert waiting.result(SECONDS) == (1, 300)


@pytest.mark.parametrize("seed", seeds("operators at once", 2))
def test_operators_and_relays_at_once_settle_each_message_once_and_never_deadlock(
    database: str, background: ThreadPoolExecutor, seed: int
) -> None:
    with psycopg.connect(database, autocommit=True) as setup:
        made = [id_ for topic in ("a", "b", "c") for id_ in hold(setup, "dead", 200, topic=topic)]
        sent = send(setup, 300, topic="d")
    choices = [
        "discard('w', topic => 'a')",
        "discard('w', error => 'size')",
        "replay('w', everything => true)",
        "replay('w', topic => 'b')",
        "replay('w', everything => true, sent => true)",
        "replay('w', topic => 'd', sent => true)",
        "discard('w', state => 'replaying')",
    ]

    def operate(number: int) -> int:
        chance = random.Random(seed + number)
        with psycopg.connect(database, autocommit=True) as session:
            return sum(call(session, chance.choice(choices))[1] for _ in range(6))

    def relay(number: int) -> int:
        chance = random.Random(seed - number)
        with psycopg.connect(database, autocommit=True) as session:
            for _ in range(20):
                taken = chance.sample(made + sent, 50)
                session.execute(
                    "update outbox.held h set settled_as = 'sent', settled_at = clock_timestamp() from ("
                    "select shard, seq from outbox.held where id = any(%s) and settled_as is null "
                    "order by shard, seq for update) as mine where h.shard = mine.shard and h.seq = mine.seq",
                    [taken],
                )
        return 0

    working = [background.submit(operate, number) for number in range(3)]
    working += [background.submit(relay, number) for number in range(2)]
    for work in working:
        work.result(SECONDS)
    with psycopg.connect(database) as judge:
        counted = judge.execute(
            "select coalesce(sum(messages), 0) from outbox.operator_act"
            " where act = 'discard' and choice ->> 'state' is null"
        ).fetchall()
        settled = judge.execute("select count(*) from outbox.held where settled_as = 'discarded' and replay is null")
        assert settled.fetchall() == counted, f"seed {seed}"
