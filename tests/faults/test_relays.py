"""Relays are killed, stopped, joined and left while writers of every kind go on; the topic tells what became of it."""

import random
import signal
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from tests.faults.world import World, wait_until, world
from tests.fuzz.writers import Writers

SEED = random.SystemRandom().randrange(10**6)


@pytest.fixture
def here(database: str, kafka_brokers: str, topic: str, tmp_path: Path) -> Iterator[World]:
    print(f"seed {SEED}")
    with world(database, kafka_brokers, topic, tmp_path) as made:
        yield made


def writing(here: World, *, rows: int = 20_000, pause: float = 0.005, synchronous_commit: str = "on") -> Writers:
    return Writers(here.database_url, here.topic, SEED, rows, pause=pause, synchronous_commit=synchronous_commit)


def test_every_kind_of_writer_is_relayed_once_and_in_order_by_two_relays(here: World) -> None:
    with here.judged() as judge, psycopg.connect(here.database_url) as open_throughout:
        open_throughout.execute("insert into outbox.message (topic, key) values (%s, 'free')", (here.topic,))
        here.relay("one")
        here.relay("two")
        here.wait_until_owned(one=8, two=8)
        writing(here).join()
        judge.arrived(len(here.committed()))
        open_throughout.commit()
        found = judge.verdict()
    assert not found.broken
    assert found.duplicates == 0


def test_shards_of_a_killed_relay_are_taken_within_two_seconds(here: World) -> None:
    here.relay("one")
    two = here.relay("two")
    here.wait_until_owned(one=8, two=8)
    two.kill()
    here.wait_until_owned(2, one=16)


def test_shards_are_shared_out_fairly_within_two_seconds_of_a_join_and_a_leave(here: World) -> None:
    here.relay("one")
    here.relay("two")
    here.wait_until_owned(one=8, two=8)
    three = here.relay("three")
    wait_until(lambda: three.log.exists() and three.said("has joined"), 10)
    wait_until(lambda: sorted(here.owners().values()) == [5, 5, 6], 2, lambda: str(here.owners()))
    assert three.terminate() == 0
    here.wait_until_owned(2, one=8, two=8)


def test_killed_relays_lose_and_reorder_nothing(here: World) -> None:
    with here.judged() as judge:
        one, two = here.relay("one"), here.relay("two")
        here.wait_until_owned(one=8, two=8)
        writers = writing(here)
        arrived = 500
        for relay in (one, two, one):
            judge.arrived(arrived)
            relay.kill()
            relay.start()
            arrived += 2_000
        writers.join()
        assert not judge.verdict().broken


def test_rolling_restart_repeats_nothing(here: World) -> None:
    with here.judged() as judge:
        one, two = here.relay("one"), here.relay("two")
        here.wait_until_owned(one=8, two=8)
        writers = writing(here)
        for number, relay in enumerate((one, two, one, two)):
            judge.arrived(500 + 1_500 * number)
            here.wait_until_owned(one=8, two=8)
            assert relay.terminate() == 0
            relay.start()
        writers.join()
        found = judge.verdict()
    assert not found.broken
    assert found.duplicates == 0


@pytest.mark.timeout(240)
def test_relay_stopped_for_a_minute_loses_and_reorders_nothing(here: World) -> None:
    with here.judged() as judge:
        here.relay("one")
        two = here.relay("two")
        here.wait_until_owned(one=8, two=8)
        writers = writing(here, rows=10**9, pause=0.3)
        judge.arrived(200)
        two.send(signal.SIGSTOP)
        with pytest.raises(AssertionError, match="it never held"):
            wait_until(lambda: not writers.busy, 60)
        two.send(signal.SIGCONT)
        writers.stop()
        assert not judge.verdict().broken


def test_idle_transaction_that_has_inserted_delays_nobody(here: World) -> None:
    with here.judged() as judge, psycopg.connect(here.database_url) as idle:
        idle.execute("insert into outbox.message (topic, key) values (%s, 'free')", (here.topic,))
        here.relay("one")
        here.enqueue(20)
        judge.arrived(20)
        idle.rollback()
        found = judge.verdict()
    assert not found.broken
    assert found.committed == 20


def test_prepared_transaction_is_published_by_a_relay_that_was_asleep(here: World) -> None:
    with here.judged() as judge:
        here.relay("one")
        here.enqueue(1)
        judge.arrived(1)
        with psycopg.connect(here.database_url, autocommit=True) as connection:
            connection.execute("begin")
            connection.execute("set local outbox.doorbell = off")
            connection.execute("insert into outbox.message (topic, key) values (%s, 'free')", (here.topic,))
            connection.execute(f"prepare transaction '{here.topic}'".encode())
            here.enqueue(1)
            judge.arrived(2)
            connection.execute(f"commit prepared '{here.topic}'".encode())
        found = judge.verdict(10)
    assert not found.broken
    assert found.committed == 3


def test_bulk_in_one_open_transaction_does_not_slow_others_down(here: World) -> None:
    """Rows that nobody can see yet lie above the floor; the relay renews the floor though it has sent nothing."""
    with here.judged() as judge, psycopg.connect(here.database_url) as bulk:
        here.relay("one")
        bulk.execute(
            "insert into outbox.message (topic, key) select %s, 'free' from generate_series(1, 50000)", (here.topic,)
        )
        here.enqueue(1)
        judge.arrived(1)
        with psycopg.connect(here.database_url, autocommit=True) as connection:

            def floor() -> int:
                row = connection.execute("select max(floor) from outbox.snapshot").fetchone()
                return int(row[0]) if row else 0

            wait_until(lambda: floor() >= 50_000, 5, lambda: f"the floor is {floor()}")
        bulk.rollback()
        assert not judge.verdict().broken


def test_stopping_at_full_load_is_clean_and_quick(here: World) -> None:
    one = here.relay("one")
    with here.judged() as judge, psycopg.connect(here.database_url) as connection:
        connection.execute(
            "insert into outbox.message (topic, key, payload) select %s, 'free', repeat('x', 300)::bytea "
            "from generate_series(1, 200000)",
            (here.topic,),
        )
        connection.commit()
        judge.arrived(1_000)
        assert one.terminate(10) == 0
        assert here.owners() == {}
        one.start()
        found = judge.verdict()
    assert not found.broken
    assert found.duplicates == 0


def test_sessions_that_are_cut_lose_and_reorder_nothing(here: World) -> None:
    with here.judged() as judge, psycopg.connect(here.database_url, autocommit=True) as administrator:
        here.relay("one")
        here.relay("two")
        here.wait_until_owned(one=8, two=8)
        writers = writing(here)
        for number in range(6):
            judge.arrived(300 + 1_000 * number)
            administrator.execute(
                "select pg_terminate_backend(pid) from pg_stat_activity "
                "where application_name = 'outbox-relay one' and datname = current_database() "
                "and (%s or pid %% 2 = 0)",
                (number % 2 == 0,),
            )
        here.wait_until_owned(one=8, two=8)
        writers.join()
        assert not judge.verdict().broken


def test_relay_without_a_doorbell_polls_and_loses_nothing(here: World) -> None:
    with here.judged() as judge:
        here.relay("one", RELAY_DOORBELL="false", RELAY_POLL_INTERVAL_SECONDS="0.1")
        here.wait_until_owned(one=16)
        for number in range(5):
            here.enqueue(3)
            judge.arrived(3 * (number + 1))
        assert not judge.verdict().broken
