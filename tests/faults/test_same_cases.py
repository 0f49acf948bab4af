"""The cases in which other relays were measured, played with ours; their figures are in docs/reliability.md.

300 bytes, 1,000 keys, 4 partitions. Run with `-s`, each prints what it found.
"""

import os
import random
import time
from pathlib import Path

import psycopg

from tests.conftest import MakeTopic
from tests.faults.world import World, wait_until, world
from tests.fuzz.writers import Writers

ENQUEUE = """
-- enqueue
insert into outbox.message (topic, key, payload)
select %s, 'locked-' || n %% 1000, convert_to(repeat('x', 300), 'UTF8') from generate_series(1, %s) as n
"""

RECORDED = """
-- recorded
select sum(sent) from outbox.checkpoint
"""

POISON = """
-- poison
insert into outbox.message (topic, key, payload) values (%s, 'locked-7', %s)
"""


def enqueue(here: World, messages: int) -> None:
    with psycopg.connect(here.database_url) as connection:
        connection.execute(ENQUEUE, (here.topic, messages))


def recorded(here: World) -> int:
    with psycopg.connect(here.database_url) as connection:
        ((sent,),) = connection.execute(RECORDED).fetchall()
    return int(sent)


def test_relay_that_is_killed_in_a_drain_loses_and_swaps_nothing(here: World) -> None:
    enqueue(here, 100_000)
    with here.judged() as judge:
        relay = here.relay("one")
        wait_until(lambda: recorded(here) > 30_000, 60)
        time.sleep(random.uniform(0, 0.05))  # or it would be just behind a checkpoint
        relay.kill()
        killed, before = time.monotonic(), recorded(here)
        assert before < 100_000
        relay.start()
        wait_until(lambda: recorded(here) > before, 30)
        print(f"killed after {before} messages, and further ones were recorded {time.monotonic() - killed:.1f} s later")
        found = judge.verdict()
    assert not found.broken
    assert found.committed == 100_000


def test_two_relays_swap_nothing(here: World) -> None:
    with here.judged() as judge:
        here.relay("one")
        here.relay("two")
        here.wait_until_owned(one=8, two=8)
        enqueue(here, 50_000)
        found = judge.verdict()
    assert not found.broken
    assert found.duplicates == 0


def test_poison_message_costs_its_neighbours_little(
    database: str, kafka_brokers: str, make_topic: MakeTopic, tmp_path: Path
) -> None:
    topic = make_topic(config={"max.message.bytes": "1000000"})
    with world(database, kafka_brokers, topic, tmp_path) as here, here.judged() as judge:
        with psycopg.connect(here.database_url) as connection:
            connection.execute(ENQUEUE, (here.topic, 10_000))
            connection.execute(POISON, (here.topic, os.urandom(2_000_000)))
            connection.execute(ENQUEUE, (here.topic, 10_000))
        here.relay("one", RELAY_ON_FAILURE="skip", RELAY_MAX_ATTEMPTS="1")
        judge.arrived(20_000, 60)
        wait_until(lambda: here.states() == {"sent": 20_000, "dead": 1}, 30, lambda: f"{here.states()}")
        found = judge.verdict(0.1)
    assert found.lost == 1
    assert found.out_of_order == 0


def test_live_traffic_without_a_fault_loses_and_repeats_nothing(here: World) -> None:
    with here.judged() as judge:
        here.relay("one")
        here.wait_until_owned(one=16)
        Writers(here.database_url, here.topic, 1, 4_000, pause=0.2).join()
        found = judge.verdict()
    assert not found.broken
    assert found.duplicates == 0
