"""A relay is cut off from PostgreSQL and from Kafka, without a word: another goes on, and it comes back by itself."""

import random
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest

from relay import migrate
from relay.local.postgres import Postgres
from tests.conftest import OwnKafka, OwnPostgres
from tests.faults.network import Machine, machine
from tests.faults.world import RelayProcess, World, wait_until, world
from tests.fuzz.writers import Writers

SEED = random.SystemRandom().randrange(10**6)


@pytest.fixture
def elsewhere() -> Iterator[Machine]:
    with machine() as made:
        yield made


@dataclass(frozen=True)
class Scene:
    """A relay on this machine and one on the other, each with half of the shards, under load."""

    here: World
    near: RelayProcess
    far: RelayProcess


@pytest.fixture
def scene(elsewhere: Machine, own_postgres: OwnPostgres, own_kafka: OwnKafka, tmp_path: Path) -> Iterator[Scene]:
    print(f"seed {SEED}")
    server = own_postgres(settings={"listen_addresses": f"127.0.0.1,{elsewhere.postgres.here}"})
    let_in(server, elsewhere.postgres.there)
    migrate.upgrade(server.url())
    brokers = own_kafka(elsewhere.kafka.here).brokers
    with world(server.url(), brokers, "events", tmp_path) as here:
        near = here.relay("near")
        url = server.url().replace("127.0.0.1", elsewhere.postgres.here)
        far = here.relay("far", within=elsewhere.within, DATABASE_URL=url)
        here.wait_until_owned(near=8, far=8)
        yield Scene(here, near, far)


def let_in(server: Postgres, address: str) -> None:
    """Let anybody at an address into a server."""
    with psycopg.connect(server.url(), autocommit=True) as connection:
        row = connection.execute("show hba_file").fetchone()
        assert row is not None
        with Path(str(row[0])).open("a") as rules:
            rules.write(f"host all all {address}/32 trust\n")
        connection.execute("select pg_reload_conf()")


def writing(scene: Scene) -> Writers:
    here = scene.here
    return Writers(here.database_url, here.topic, SEED, 10**9, pause=0.02, stubborn=True)


def test_shards_of_a_relay_cut_off_from_postgresql_are_taken_within_ten_seconds(
    scene: Scene, elsewhere: Machine
) -> None:
    here = scene.here
    with here.judged() as judge:
        writers = writing(scene)
        judge.arrived(500, 60)
        elsewhere.postgres.cut()
        began = time.monotonic()
        here.wait_until_owned(10, near=16)
        print(f"taken {time.monotonic() - began:.1f} s after the cut")
        wait_until(lambda: scene.far.said("interrupted"), 12 - (time.monotonic() - began))
        print(f"noticed {time.monotonic() - began:.1f} s after the cut")
        judge.arrived(2_000, 60)
        elsewhere.postgres.mend()
        here.wait_until_owned(45, near=8, far=8)
        judge.arrived(3_000, 60)
        writers.stop()
        assert not judge.verdict().broken


def test_relay_cut_off_from_kafka_loses_and_reorders_nothing(scene: Scene, elsewhere: Machine) -> None:
    here = scene.here
    with here.judged() as judge:
        writers = writing(scene)
        judge.arrived(500, 60)
        elsewhere.kafka.cut()
        wait_until(lambda: scene.far.said("the backlog waits"), 30)
        elsewhere.kafka.mend()
        judge.arrived(3_000, 60)
        writers.stop()
        assert not judge.verdict(90).broken
        assert here.owners() == {"near": 8, "far": 8}


def test_relay_cut_off_from_both_at_once_loses_and_reorders_nothing(scene: Scene, elsewhere: Machine) -> None:
    """What it had on its way to Kafka may still arrive when the cut is mended, and another has sent it by then."""
    here = scene.here
    with here.judged() as judge:
        writers = writing(scene)
        judge.arrived(500, 60)
        elsewhere.postgres.cut()
        elsewhere.kafka.cut()
        here.wait_until_owned(10, near=16)
        judge.arrived(2_000, 60)
        elsewhere.kafka.mend()
        elsewhere.postgres.mend()
        here.wait_until_owned(45, near=8, far=8)
        writers.stop()
        assert not judge.verdict().broken
