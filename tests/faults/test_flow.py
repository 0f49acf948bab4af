"""A paused or limited topic waits where it is, in order, and stops nobody else, whatever happens to the relays."""

import time
from collections import defaultdict
from collections.abc import Iterable

import psycopg
import pytest

from relay.judge import read_topics
from tests.command import relay as command
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


def order_of(here: World, topic: str) -> dict[str, list[str]]:
    """What is written for a topic, by key."""
    with psycopg.connect(here.database_url) as connection:
        rows = connection.execute("select key, id::text from outbox.message where topic = %s order by seq", (topic,))
        return grouped(rows.fetchall())


def grouped(pairs: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = defaultdict(list)
    for key, id_ in pairs:
        found[key].append(id_)
    return dict(found)


def came(here: World, topic: str, *, anew: bool = False) -> dict[str, list[str]]:
    """What has come of a topic, by key: by itself, or as an operator has had it published anew."""
    seen = read_topics(here.brokers, [topic])
    return grouped((str(one.key), str(one.id)) for one in seen if one.replay is anew)


def test_rebase_sends_just_what_a_paused_topic_is_behind_by(here: World, other: str) -> None:
    one = here.relay("one", RELAY_PAGE_ROWS="100")
    here.wait_until_owned(one=16)
    fill(here, here.topic, 200)
    with psycopg.connect(here.database_url) as late:
        # Has its numbers before the pause, and is committed only when its topic is behind.
        late.execute(
            "insert into outbox.message (topic, key) select %s, 'late-' || n from generate_series(1, 8) as n",
            (here.topic,),
        )
        wait_until(lambda: here.states() == {"sent": 200}, 20)
        obeyed(here, say(here, "select outbox.pause(%s, 'x')", here.topic))
        fill(here, here.topic, 300)
        fill(here, other, 200)
        wait_until(lambda: here.states(other) == {"sent": 200} and say(here, BEHIND) != 0, 20)
        late.commit()
    fill(here, other, 200)
    wait_until(lambda: here.states(other) == {"sent": 400}, 20)
    assert here.states() == {"sent": 200, "paused": 308}
    written, written_other = order_of(here, here.topic), order_of(here, other)
    assert one.terminate() == 0
    moved = "with moved as (update outbox.snapshot set system_identifier = 1 returning 1) select count(*) from moved"
    assert say(here, moved) != 0
    done = command("rebase", "--yes", DATABASE_URL=here.database_url)
    assert "anew: 308 messages" in done.stdout, done.stdout + done.stderr
    assert here.states() == {"paused": 308}
    one.start()
    here.wait_until_owned(one=16)
    fill(here, here.topic, 100)
    wait_until(lambda: here.states() == {"paused": 408}, 20)
    for key, ids in order_of(here, here.topic).items():
        written[key] += [id_ for id_ in ids if id_ not in written[key]]
    say(here, "select outbox.resume(%s, 'x')", here.topic)
    wait_until(lambda: here.states() == {"sent": 408}, 30, lambda: str(here.states()))
    assert came(here, here.topic) == written
    assert came(here, other) == written_other
    wait_until(lambda: say(here, BEHIND) == 0, 20)


def test_what_is_published_anew_of_a_topic_that_is_behind_is_just_what_was_sent(here: World, other: str) -> None:
    here.relay("one")
    here.wait_until_owned(one=16)
    fill(here, here.topic, 100)
    wait_until(lambda: here.states() == {"sent": 100}, 20)
    sent = order_of(here, here.topic)
    obeyed(here, say(here, "select outbox.pause(%s, 'x')", here.topic))
    fill(here, here.topic, 150)
    fill(here, other, 100)
    wait_until(lambda: here.states(other) == {"sent": 100} and say(here, BEHIND) != 0, 20)
    # The shards have passed the topic's messages over: those were not sent, whatever the shards' own positions say.
    anew = "select messages from outbox.replay('x', topic => %s, sent => true, after => now() - interval '1 hour')"
    assert say(here, anew, here.topic) == 100
    assert say(here, "select messages from outbox.replay('x', topic => %s, sent => true)", here.topic) == 0
    fill(here, here.topic, 50)
    say(here, "select outbox.limit(%s, 300, 'x')", here.topic)
    say(here, "select outbox.resume(%s, 'x')", here.topic)
    wait_until(lambda: here.states() == {"sent": 300}, 30, lambda: str(here.states()))
    again = "select count(*) from outbox.held where settled_as = 'sent'"
    wait_until(lambda: say(here, again) == 100, 20)
    assert came(here, here.topic) == order_of(here, here.topic)
    assert {key: sorted(ids) for key, ids in came(here, here.topic, anew=True).items()} == {
        key: sorted(ids) for key, ids in sent.items()
    }
