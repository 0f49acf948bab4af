"""PostgreSQL and Kafka are killed and stopped for a minute while writers go on; the topic tells what became of it."""

import random
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest

from relay import migrate
from relay.local.kafka import Kafka
from tests.conftest import OwnPostgres
from tests.faults.world import World, wait_until, world
from tests.fuzz.writers import Writers

SEED = random.SystemRandom().randrange(10**6)
MINUTE = 60.0


def writing(here: World, *, pause: float, synchronous_commit: str = "on") -> Writers:
    print(f"seed {SEED}")
    return Writers(
        here.database_url,
        here.topic,
        SEED,
        10**9,
        pause=pause,
        synchronous_commit=synchronous_commit,
        stubborn=True,
    )


def wait_out(writers: Writers, seconds: float) -> None:
    """Let writers go on for a while."""
    with pytest.raises(AssertionError, match="it never held"):
        wait_until(lambda: not writers.busy, seconds)


@pytest.mark.timeout(240)
@pytest.mark.parametrize("synchronous_commit", ["on", "off"])
def test_crashes_of_postgresql_lose_nothing_and_publish_nothing_undone(
    own_postgres: OwnPostgres, kafka_brokers: str, topic: str, tmp_path: Path, synchronous_commit: str
) -> None:
    server = own_postgres(settings={"wal_writer_delay": "10s"})
    migrate.upgrade(server.url())
    with world(server.url(), kafka_brokers, topic, tmp_path) as here, here.judged() as judge:
        here.relay("one")
        here.relay("two")
        here.wait_until_owned(one=8, two=8)
        writers = writing(here, pause=0.01, synchronous_commit=synchronous_commit)
        arrived = 0
        for _ in range(4):
            arrived += 300
            judge.arrived(arrived)
            server.crash()
            server.start()
        here.wait_until_owned(one=8, two=8)
        writers.stop()
        assert not judge.verdict().broken


@pytest.mark.timeout(300)
def test_postgresql_stopped_for_a_minute_loses_and_reorders_nothing(
    own_postgres: OwnPostgres, kafka_brokers: str, topic: str, tmp_path: Path
) -> None:
    server = own_postgres()
    migrate.upgrade(server.url())
    with world(server.url(), kafka_brokers, topic, tmp_path) as here, here.judged() as judge:
        here.relay("one")
        here.relay("two")
        here.wait_until_owned(one=8, two=8)
        writers = writing(here, pause=0.05)
        judge.arrived(300)
        server.pause()
        wait_out(writers, MINUTE)
        server.resume()
        here.wait_until_owned(30, one=8, two=8)
        writers.stop()
        assert not judge.verdict().broken


@pytest.mark.timeout(300)
def test_kafka_killed_and_stopped_for_a_minute_loses_and_reorders_nothing(
    own_kafka: Callable[[], Kafka], database: str, tmp_path: Path
) -> None:
    server = own_kafka()
    with world(database, server.brokers, "events", tmp_path) as here, here.judged() as judge:
        here.relay("one")
        here.relay("two")
        writers = writing(here, pause=0.05)
        judge.arrived(300)
        server.kill()
        server.start()
        judge.arrived(1_500)
        server.pause()
        wait_out(writers, MINUTE)
        server.resume()
        writers.stop()
        assert not judge.verdict(120).broken


def test_relay_that_is_told_to_stop_while_kafka_hangs_ends_cleanly_within_ten_seconds(
    own_kafka: Callable[[], Kafka], database: str, tmp_path: Path
) -> None:
    server = own_kafka()
    with world(database, server.brokers, "events", tmp_path) as here, here.judged() as judge:
        one = here.relay("one")
        here.enqueue(1)
        judge.arrived(1)
        server.pause()
        here.enqueue(5)
        assert one.terminate(10) == 0
        assert here.owners() == {}
        server.resume()
        one.start()
        assert not judge.verdict().broken


def test_relay_that_is_told_to_stop_while_postgresql_hangs_ends_within_ten_seconds(
    own_postgres: OwnPostgres, kafka_brokers: str, topic: str, tmp_path: Path
) -> None:
    server = own_postgres()
    migrate.upgrade(server.url())
    with world(server.url(), kafka_brokers, topic, tmp_path) as here, here.judged() as judge:
        one = here.relay("one")
        here.enqueue(3)
        judge.arrived(3)
        server.pause()
        assert one.terminate(10) == 1
        assert one.said("ended without recording")
        server.resume()
        one.start()
        assert not judge.verdict().broken


def test_drain_that_meets_an_outage_ends_only_when_everything_is_published(
    own_kafka: Callable[[], Kafka], database: str, tmp_path: Path
) -> None:
    server = own_kafka()
    with world(database, server.brokers, "events", tmp_path) as here, here.judged() as judge:
        with psycopg.connect(database) as connection:
            connection.execute(
                "insert into outbox.message (topic, key) select 'events', 'locked-k' from generate_series(1, 3000)"
            )
        server.pause()
        drain = here.relay("one", command=("drain", "--wait", "60"), RELAY_PAGE_ROWS="500")
        wait_until(lambda: drain.log.exists() and drain.said("waiting to start"), 30)
        server.resume()
        wait_until(lambda: drain.said("shards held now"), 30)
        server.pause()
        wait_until(lambda: drain.said("the backlog waits"), 30)
        server.resume()
        assert drain.process.wait(60) == 0
        assert not judge.verdict(5).broken
