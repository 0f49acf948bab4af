"""The clock of a relay's machine is set forward and back: nothing that the relay does is measured by it."""

import random
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka.admin import (  # type: ignore[attr-defined]
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewTopic,
    ResourceType,
)

from tests.conftest import OwnKafka
from tests.faults.clock import Clock
from tests.faults.world import World, wait_until, world
from tests.fuzz.writers import Writers

SEED = random.SystemRandom().randrange(10**6)
HOUR = 3600


@pytest.fixture
def clock(tmp_path: Path) -> Clock:
    return Clock(tmp_path, "wrong")


@pytest.fixture
def here(database: str, kafka_brokers: str, topic: str, tmp_path: Path) -> Iterator[World]:
    print(f"seed {SEED}")
    with world(database, kafka_brokers, topic, tmp_path) as made:
        yield made


def writing(here: World) -> Writers:
    return Writers(here.database_url, here.topic, SEED, 10**9, pause=0.005, stubborn=True)


def test_a_program_sees_the_clock_that_is_set_and_a_true_monotonic_one(clock: Clock) -> None:
    def read() -> tuple[float, float]:
        program = [sys.executable, "-c", "import time; print(time.time(), time.monotonic())"]
        answer = subprocess.run(program, env=dict(clock.environment), check=True, capture_output=True, text=True)
        wall, monotonic = answer.stdout.split()
        return float(wall), float(monotonic)

    wall, monotonic = read()
    clock.set(HOUR)
    later, monotonic_later = read()
    assert HOUR <= later - wall < HOUR + 60
    assert 0 <= monotonic_later - monotonic < 60


def test_clock_that_jumps_an_hour_forward_and_back_under_load_changes_nothing(here: World, clock: Clock) -> None:
    with here.judged() as judge:
        one, two = here.relay("one", **clock.environment), here.relay("two", **clock.environment)
        here.wait_until_owned(one=8, two=8)
        writers = writing(here)
        arrived = 0
        for wrong in (HOUR, 0, -HOUR, 0) * 3:
            arrived += 1_000
            judge.arrived(arrived, 60)
            clock.set(wrong)
        judge.arrived(arrived + 2_000, 60)
        writers.stop()
        found = judge.verdict()
    assert not found.broken
    assert found.duplicates == 0
    assert not one.said("interrupted")
    assert not two.said("interrupted")


def test_clock_that_is_set_back_while_kafka_is_silent_loses_and_reorders_nothing(
    own_kafka: OwnKafka, database: str, tmp_path: Path, clock: Clock
) -> None:
    """Nothing that Kafka says wakes librdkafka then, and it waits by the clock that was set back."""
    server = own_kafka()
    with world(database, server.brokers, "events", tmp_path) as here, here.judged() as judge:
        one = here.relay("one", **clock.environment)
        writers = writing(here)
        judge.arrived(500, 60)
        server.pause()
        wait_until(lambda: one.said("the backlog waits"), 60)
        clock.set(-HOUR)
        server.resume()
        judge.arrived(3_000, 90)
        writers.stop()
        assert not judge.verdict().broken


def test_clock_that_is_set_forward_and_back_while_kafka_is_down_leaves_nothing_waiting(
    own_kafka: OwnKafka, database: str, tmp_path: Path, clock: Clock
) -> None:
    """All of librdkafka's threads wait by the clock then, and no connection is left that could wake them."""
    server = own_kafka()
    admin = AdminClient({"bootstrap.servers": server.brokers})
    letters = NewTopic("letters", num_partitions=1, replication_factor=1, config={"max.message.bytes": "1000"})
    admin.create_topics([letters])["letters"].result(30)
    with world(database, server.brokers, "events", tmp_path) as here, here.judged() as judge:
        often = {"RELAY_RETRY_LONGEST_SECONDS": "0.5", "RELAY_MAX_ATTEMPTS": "1000", "RELAY_TAKEOVER_SECONDS": "8"}
        one = here.relay("one", **often, **clock.environment)
        writers = Writers(here.database_url, here.topic, SEED, 10**9, pause=0.2, stubborn=True)
        here.enqueue(1, topic="letters", payload=random.randbytes(5_000))
        wait_until(lambda: here.states("letters") == {"retrying": 1}, 60)
        judge.arrived(200, 60)
        server.kill()
        wait_until(lambda: one.said("the backlog waits"), 60)
        for _ in range(2):
            clock.set(HOUR)
            time.sleep(1)
            clock.set(0)
            time.sleep(1)
        server.start()
        writers.stop()
        judge.arrived(len(here.committed()), 90)
        larger = ConfigEntry("max.message.bytes", "10000", incremental_operation=AlterConfigOpType.SET)
        resource = ConfigResource(ResourceType.TOPIC, "letters", incremental_configs=[larger])
        admin.incremental_alter_configs([resource])[resource].result(30)
        wait_until(lambda: here.states("letters") == {"sent": 1}, 30, lambda: f"{here.states('letters')}")
        assert not judge.verdict().broken
        assert one.process.poll() is None
