"""A paused or limited topic waits where it is, in order, and stops nobody else, whatever happens to the relays."""

import time

import psycopg
import pytest

from relay.judge import read_topics
from tests.conftest import MakeTopic
from tests.faults.world import World, wait_until

BEHIND = """
-- behind: the shards of which some topic is not as far as the others
select count(*) from (select distinct on (shard) ahead from outbox.checkpoint order by shard, batch desc) as newest
where ahead is not null
"""


@pytest.fixture
def other(make_topic: MakeTopic) -> str:
    return make_topic()


def say(here: World, statement: str, *values: object) -> object:
    with psycopg.connect(here.database_url, autocommit=True) as connection:
        row = connection.execute(statement.encode(), values).fetchone()
    return row and row[0]


def obeyed(here: World, act: object) -> None:
    wait_until(lambda: say(here, "select count(*) from outbox.not_obeying(%s)", act) == 0, 30)


def fill(here: World, topic: str, count: int, keys: int = 40) -> None:
    say(
        here,
        "with made as (insert into outbox.message (topic, key, payload) select %s, 'locked-' || (n %% %s), 'x'"
        " from generate_series(1, %s) as n returning 1) select count(*) from made",
        topic,
        keys,
        count,
    )


def held(here: World) -> object:
    return say(here, "select count(*) from outbox.held")


def test_paused_topic_waits_in_order_through_kills_and_takeovers_and_others_go_on(here: World, other: str) -> None:
    with here.judged() as judge:
        one = here.relay("one", RELAY_PAGE_ROWS="300")
        two = here.relay("two", RELAY_PAGE_ROWS="300")
        here.wait_until_owned(one=8, two=8)
        fill(here, here.topic, 2_000)
        judge.arrived(100)
        obeyed(here, say(here, "select outbox.pause(%s, 'its consumer is ill')", here.topic))
        stood = len(read_topics(here.brokers, [here.topic]))
        fill(here, here.topic, 3_000)
        for _ in range(3):
            fill(here, other, 1_000)
            wait_until(lambda: "pending" not in here.states(other), 20)
        one.kill()
        fill(here, other, 1_000)
        fill(here, here.topic, 1_000)
        here.wait_until_owned(two=16)
        one.start()
        here.wait_until_owned(one=8, two=8)
        two.kill()
        two.start()
        here.wait_until_owned(one=8, two=8)
        wait_until(lambda: here.states(other) == {"sent": 4_000}, 20)
        assert here.states()["paused"] == 6_000 - here.states()["sent"]
        assert len(read_topics(here.brokers, [here.topic])) == stood
        assert held(here) == 0
        say(here, "select outbox.resume(%s, 'it is well')", here.topic)
        one.kill()
        one.start()
        fill(here, here.topic, 1_000)
        wait_until(lambda: here.states() == {"sent": 7_000}, 60, lambda: str(here.states()))
        # Whoever caught up is no exception any more.
        wait_until(lambda: say(here, BEHIND) == 0, 20)
        found = judge.verdict()
        assert not found.broken


def test_limited_topic_keeps_its_rate_over_all_relays_and_drains_in_order(here: World, other: str) -> None:
    with here.judged() as judge:
        say(here, "select outbox.limit(%s, 400, 'its consumers are slow', unknown => true)", here.topic)
        fill(here, here.topic, 6_000, keys=500)
        here.relay("one")
        two = here.relay("two")
        here.wait_until_owned(one=8, two=8)
        began, before = time.monotonic(), len(judge.seen)
        fill(here, other, 3_000)
        wait_until(lambda: here.states(other) == {"sent": 3_000}, 20)
        judge.arrived(2_000)
        came, took = len(judge.seen) - before, time.monotonic() - began
        # A quarter of a second's burst, and what the judge had not seen yet when it began to count.
        assert came <= 400 * (took + 1.5)
        assert came >= 400 * (took - 3) * 0.6
        assert held(here) == 0
        two.kill()
        two.start()
        here.wait_until_owned(one=8, two=8)
        say(here, "select outbox.limit(%s, null, 'they are quick again')", here.topic)
        wait_until(lambda: here.states() == {"sent": 6_000}, 20, lambda: str(here.states()))
        wait_until(lambda: say(here, BEHIND) == 0, 20)
        assert not judge.verdict().broken


def test_drain_leaves_a_paused_topic_and_says_so(here: World, other: str) -> None:
    fill(here, here.topic, 100)
    fill(here, other, 100)
    say(here, "select outbox.pause(%s, 'x')", here.topic)
    drain = here.relay("one", ("drain", "--wait", "60"))
    assert drain.process.wait(60) == 1
    assert drain.said("published 100 messages, and 100 of paused topics wait")
    assert here.states() == {"paused": 100}


def test_held_messages_of_a_paused_topic_wait_too(here: World) -> None:
    here.relay("one")
    here.wait_until_owned(one=16)
    say(
        here,
        "with made as (insert into outbox.message (topic, deliver_after)"
        " values (%s, clock_timestamp() + interval '3 s') returning 1) select count(*) from made",
        here.topic,
    )
    wait_until(lambda: here.states() == {"scheduled": 1}, 10)
    obeyed(here, say(here, "select outbox.pause(%s, 'x')", here.topic))
    wait_until(lambda: here.states() == {"pending": 1}, 10)
    fill(here, here.topic, 1)
    time.sleep(2.5)
    assert read_topics(here.brokers, [here.topic]) == []
    say(here, "select outbox.resume(%s, 'x')", here.topic)
    wait_until(lambda: here.states() == {"sent": 2}, 10)
