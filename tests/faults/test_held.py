"""Messages that cannot go harm nobody else: held with their error, in order, tried again, replayed when mended."""

import json
import os
import time
from pathlib import Path

import psycopg
import pytest
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined]

from relay.judge import read_topics
from relay.local.kafka import Kafka
from tests.conftest import MakeTopic
from tests.faults.test_refusals import change
from tests.faults.world import RelayProcess, World, wait_until, world
from tests.services import delete_topics

LARGE = os.urandom(5_000)
QUICK = {"RELAY_RETRY_FIRST_SECONDS": "0.1", "RELAY_RETRY_LONGEST_SECONDS": "0.5"}


@pytest.fixture
def small(make_topic: MakeTopic) -> str:
    """A topic that takes no large message."""
    return make_topic(config={"max.message.bytes": "2000"})


def relay(here: World, *topics: str, name: str = "one", **settings: str) -> RelayProcess:
    """Start a relay; `topics` are names with their `on_failure`, as "name=skip"."""
    rules = {topic: {"on_failure": rule} for topic, rule in (each.split("=") for each in topics)}
    return here.relay(name, **{**QUICK, "RELAY_TOPICS": json.dumps(rules), **settings})


def execute(here: World, statement: str, *values: object) -> None:
    with psycopg.connect(here.database_url, autocommit=True) as connection:
        connection.execute(statement.encode(), values)


def test_poison_message_blocks_its_key_and_nobody_else(here: World, small: str) -> None:
    with here.judged() as judge:
        relay(here)
        here.enqueue(1, key="a", payload=LARGE, topic=small)
        here.enqueue(3, key="a", topic=small)
        here.enqueue(3, key="b", topic=small)
        here.enqueue(3, key="a")
        wait_until(lambda: here.states(small) == {"retrying": 1, "blocked": 3, "sent": 3}, 20)
        judge.arrived(3)
        assert not judge.verdict().broken


def test_dead_message_blocks_its_key_until_it_is_replayed_or_discarded_and_order_is_kept(
    here: World, small: str, kafka_admin: AdminClient
) -> None:
    one = relay(here, RELAY_MAX_ATTEMPTS="3")
    for key in ("a", "b"):
        here.enqueue(1, key=key, payload=LARGE, topic=small)
        here.enqueue(5, key=key, topic=small)
    wait_until(lambda: here.states(small) == {"dead": 2, "blocked": 10}, 20)
    assert one.said("dead after attempt 3")
    execute(
        here,
        "update outbox.held set settled_as = 'discarded', settled_at = now() where topic = %s and key = 'b' and dead",
        small,
    )
    wait_until(lambda: here.states(small) == {"dead": 1, "blocked": 5, "discarded": 1, "sent": 5}, 20)
    change(kafka_admin, small, {"max.message.bytes": "100000"})
    execute(here, "update outbox.held set due_at = now(), attempts = 0 where topic = %s and dead", small)
    wait_until(lambda: here.states(small) == {"discarded": 1, "sent": 11}, 20)
    with psycopg.connect(here.database_url) as connection:
        wanted = connection.execute(
            "select id::text from outbox.message where topic = %s and key = 'a' order by seq", (small,)
        ).fetchall()
    assert [seen.id for seen in read_topics(here.brokers, [small]) if seen.key == "a"] == [id_ for (id_,) in wanted]


def test_skipped_message_blocks_nothing(here: World, small: str) -> None:
    relay(here, f"{small}=skip", RELAY_MAX_ATTEMPTS="2")
    here.enqueue(1, key="a", payload=LARGE, topic=small)
    here.enqueue(5, key="a", topic=small)
    wait_until(lambda: here.states(small) == {"dead": 1, "sent": 5}, 20)


def test_message_without_a_key_blocks_nothing(here: World, small: str) -> None:
    relay(here, RELAY_MAX_ATTEMPTS="2")
    execute(here, "insert into outbox.message (topic, payload) values (%s, %s)", small, LARGE)
    execute(here, "insert into outbox.message (topic) select %s from generate_series(1, 20)", small)
    wait_until(lambda: here.states(small) == {"dead": 1, "sent": 20}, 20)


def test_halting_topic_stops_whole_in_all_relays_and_no_other_topic(
    here: World, small: str, kafka_admin: AdminClient
) -> None:
    with here.judged() as judge:
        relay(here, f"{small}=halt", RELAY_MAX_ATTEMPTS="2")
        relay(here, f"{small}=halt", name="two", RELAY_MAX_ATTEMPTS="2")
        here.wait_until_owned(one=8, two=8)
        here.enqueue(1, key="a", payload=LARGE, topic=small)
        wait_until(lambda: here.states(small) == {"dead": 1}, 20)
        # Each relay looks once a second what others have halted.
        time.sleep(2.5)
        for number in range(40):
            here.enqueue(1, key=f"k{number}", topic=small)
            here.enqueue(1, key=f"locked-{number}")
        wait_until(lambda: here.states(small) == {"dead": 1, "blocked": 40}, 20)
        judge.arrived(40)
        change(kafka_admin, small, {"max.message.bytes": "100000"})
        execute(here, "update outbox.held set due_at = now(), attempts = 0 where topic = %s and dead", small)
        wait_until(lambda: here.states(small) == {"sent": 41}, 30)
        assert not judge.verdict().broken


def test_scheduled_message_is_published_when_its_time_has_come_and_blocks_nobody(here: World) -> None:
    with here.judged() as judge:
        relay(here)
        execute(
            here,
            "insert into outbox.message (topic, key, deliver_after) "
            "values (%s, 'free', clock_timestamp() + interval '6 s')",
            here.topic,
        )
        here.enqueue(5, key="free")
        judge.arrived(5)
        wait_until(lambda: here.states() == {"scheduled": 1, "sent": 5}, 5)
        judge.arrived(6)
        wait_until(lambda: here.states() == {"sent": 6}, 10)
        with psycopg.connect(here.database_url) as connection:
            late = connection.execute(
                "select settled_at - due_at between interval '0' and interval '2 s' from outbox.held"
            ).fetchall()
        assert late == [(True,)]
        assert not judge.verdict().broken


def test_held_messages_survive_a_killed_relay_in_order(here: World, small: str, kafka_admin: AdminClient) -> None:
    one = relay(here)
    here.enqueue(1, key="a", payload=LARGE, topic=small)
    here.enqueue(5, key="a", topic=small)
    wait_until(lambda: here.states(small) == {"retrying": 1, "blocked": 5}, 20)
    one.kill()
    here.enqueue(5, key="a", topic=small)
    one.start()
    wait_until(lambda: here.states(small) == {"retrying": 1, "blocked": 10}, 20)
    change(kafka_admin, small, {"max.message.bytes": "100000"})
    wait_until(lambda: here.states(small) == {"sent": 11}, 20)
    with psycopg.connect(here.database_url) as connection:
        wanted = connection.execute("select id::text from outbox.message where topic = %s order by seq", (small,))
        assert [seen.id for seen in read_topics(here.brokers, [small])] == [id_ for (id_,) in wanted]


def ids(here: World, topic: str) -> list[str]:
    """The ids of all messages of a topic, in the order of writing."""
    with psycopg.connect(here.database_url) as connection:
        found = connection.execute("select id::text from outbox.message where topic = %s order by seq", (topic,))
        return [id_ for (id_,) in found.fetchall()]


def test_another_rule_after_a_restart_holds_for_what_fails_from_then_on_and_keeps_order(
    here: World, small: str, kafka_admin: AdminClient
) -> None:
    """Held under one rule, and tried again under another: what waits is freed as the new rule has it."""
    one = relay(here, f"{small}=halt")
    here.enqueue(1, key="a", payload=LARGE, topic=small)
    wait_until(lambda: here.states(small) == {"retrying": 1}, 20)
    for key in ("a", "b"):
        here.enqueue(3, key=key, topic=small)
    wait_until(lambda: here.states(small) == {"retrying": 1, "blocked": 6}, 20)
    assert one.terminate() == 0
    relay(here, f"{small}=block-key", name="two")
    wait_until(lambda: here.states(small) == {"retrying": 1, "blocked": 3, "sent": 3}, 20)
    change(kafka_admin, small, {"max.message.bytes": "100000"})
    wait_until(lambda: here.states(small) == {"sent": 7}, 20)
    wanted = ids(here, small)
    assert [seen.id for seen in read_topics(here.brokers, [small]) if seen.key == "a"] == wanted[:4]
    assert [seen.id for seen in read_topics(here.brokers, [small]) if seen.key == "b"] == wanted[4:]


def test_topic_that_is_deleted_while_it_holds_a_refused_message_releases_all_in_order(
    database: str, strict_kafka: Kafka, tmp_path: Path
) -> None:
    """Its own fault, then its topic's, then its own again: only its own are counted, and nobody is forgotten."""
    admin, small = AdminClient({"bootstrap.servers": strict_kafka.brokers}), f"small-{database.rpartition('/')[2]}"
    new = NewTopic(small, num_partitions=2, replication_factor=1, config={"max.message.bytes": "2000"})
    assert made(admin, new)
    with world(database, strict_kafka.brokers, small, tmp_path) as here:
        relay(here, RELAY_MAX_ATTEMPTS="1000")
        here.enqueue(1, key="a", payload=LARGE)
        here.enqueue(2, key="a")
        wait_until(lambda: here.states() == {"retrying": 1, "blocked": 2}, 20)
        delete_topics(admin, [small])
        wait_until(lambda: here.states()["retrying"] == 0, 60, lambda: f"{here.states()}")
        here.enqueue(2, key="b")
        wait_until(lambda: here.states() == {"unreachable": 5}, 30, lambda: f"{here.states()}")
        wait_until(lambda: made(admin, new), 30)
        wait_until(lambda: here.states() == {"retrying": 1, "blocked": 2, "sent": 2}, 60, lambda: f"{here.states()}")
        change(admin, small, {"max.message.bytes": "100000"})
        wait_until(lambda: here.states() == {"sent": 5}, 20)
        assert [seen.id for seen in read_topics(here.brokers, [small]) if seen.key == "a"] == ids(here, small)[:3]
    delete_topics(admin, [small])


def made(admin: AdminClient, topic: NewTopic) -> bool:
    """Try to make a topic; one of the same name may be on its way out still."""
    try:
        admin.create_topics([topic])[topic.topic].result(30)
    except KafkaException:
        return False
    return True


def test_what_is_tried_again_while_its_shard_is_handed_over_goes_on_in_order(
    here: World, small: str, kafka_admin: AdminClient
) -> None:
    keys = [f"locked-{number}" for number in range(40)]
    with here.judged() as judge:
        one = relay(here, RELAY_MAX_ATTEMPTS="1000")
        for key in keys:
            here.enqueue(1, key=key, payload=LARGE, topic=small)
            here.enqueue(2, key=key, topic=small)
        wait_until(lambda: here.states(small) == {"retrying": 40, "blocked": 80}, 30)
        two = relay(here, name="two", RELAY_MAX_ATTEMPTS="1000")
        here.wait_until_owned(one=8, two=8)
        change(kafka_admin, small, {"max.message.bytes": "100000"})
        assert one.terminate() == 0
        one.start()
        here.wait_until_owned(one=8, two=8)
        two.kill()
        wait_until(lambda: here.states(small) == {"sent": 120}, 60)
        assert not judge.verdict().broken
    seen = read_topics(here.brokers, [small])
    for key in keys:
        firsts = list(dict.fromkeys(each.id for each in seen if each.key == key))
        with psycopg.connect(here.database_url) as connection:
            wanted = connection.execute("select id::text from outbox.message where key = %s order by seq", (key,))
            assert firsts == [id_ for (id_,) in wanted.fetchall()]


def test_drain_ends_with_what_is_held_and_counts_it(here: World, small: str) -> None:
    here.enqueue(1, key="a", payload=LARGE, topic=small)
    here.enqueue(2, key="a", topic=small)
    here.enqueue(3)
    drain = here.relay("one", ("drain", "--wait", "60"), RELAY_MAX_ATTEMPTS="1")
    assert drain.process.wait(60) == 1
    assert drain.said("published 3 messages, and some are held: 2 blocked, 1 dead; see them with: relay failed")


def test_drain_leaves_scheduled_messages_to_their_time(here: World) -> None:
    execute(
        here, "insert into outbox.message (topic, deliver_after) values (%s, now() + interval '1 hour')", here.topic
    )
    here.enqueue(3)
    drain = here.relay("one", ("drain", "--wait", "60"))
    assert drain.process.wait(60) == 0
    assert here.states() == {"scheduled": 1, "sent": 3}
