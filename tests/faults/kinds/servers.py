"""What happens to PostgreSQL and Kafka: crashes, orderly restarts, standstills, a full disk."""

import random
import time
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg

from tests.faults.kinds.fault import Fault, Kind, lasting
from tests.faults.stage import Stage

PUSH_WAL = """
-- push_wal: begin another segment, until there is no room for one
select pg_switch_wal(), pg_logical_emit_message(true, 'test', 'x')
"""


class OfPostgres(Fault):
    """A fault of PostgreSQL."""

    @property
    def subjects(self) -> frozenset[str]:
        return frozenset({"postgres"})


class OfKafka(Fault):
    """A fault of Kafka."""

    @property
    def subjects(self) -> frozenset[str]:
        return frozenset({"kafka"})


class PostgresCrashed(OfPostgres):
    """All its processes end at once; it recovers. Commits that were not synchronous are undone."""

    @contextmanager
    def befall(self, stage: Stage) -> Iterator[None]:
        stage.postgres.crash()
        yield
        stage.postgres.start()


class PostgresRestarted(OfPostgres):
    """It is shut down in the fast way, and started."""

    @contextmanager
    def befall(self, stage: Stage) -> Iterator[None]:
        stage.postgres.stop()
        yield
        stage.postgres.start()


class PostgresPaused(OfPostgres):
    """It stands still: connections stay, and nothing is answered."""

    @contextmanager
    def befall(self, stage: Stage) -> Iterator[None]:
        stage.postgres.pause()
        yield
        stage.postgres.resume()


class DiskFull(OfPostgres):
    """Nothing can grow: inserts fail, and so do checkpoints, one by one."""

    @contextmanager
    def befall(self, stage: Stage) -> Iterator[None]:
        stage.disk.full()
        yield
        stage.disk.empty()
        revive(stage)


class WalFull(OfPostgres):
    """There is no room for another WAL segment: the server ends by PANIC, and cannot recover until there is."""

    @contextmanager
    def befall(self, stage: Stage) -> Iterator[None]:
        stage.disk.full()
        push_wal(stage)
        yield
        stage.disk.empty()
        revive(stage)


class KafkaKilled(OfKafka):
    """Its process ends; it is started again with what it had written."""

    @contextmanager
    def befall(self, stage: Stage) -> Iterator[None]:
        stage.kafka.kill()
        yield
        stage.kafka.start()


class KafkaRestarted(OfKafka):
    """It is shut down in order, and started."""

    @contextmanager
    def befall(self, stage: Stage) -> Iterator[None]:
        stage.kafka.stop(5)
        yield
        stage.kafka.start()


class KafkaPaused(OfKafka):
    """It stands still: connections stay, and nothing is acknowledged."""

    @contextmanager
    def befall(self, stage: Stage) -> Iterator[None]:
        stage.kafka.pause()
        yield
        stage.kafka.resume()


def push_wal(stage: Stage) -> None:
    """Use up the WAL segments that exist, until the server fails at making another."""
    try:
        with stage.administer() as administrator:
            deadline = time.monotonic() + 10
            while time.monotonic() < deadline:
                administrator.execute(PUSH_WAL)
    except psycopg.OperationalError:
        return
    raise AssertionError("the disk is full, and PostgreSQL goes on writing WAL")


def revive(stage: Stage) -> None:
    """Start PostgreSQL if it ended for want of space, else wait until it has recovered."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if not stage.postgres.running:
            stage.postgres.start()
        try:
            stage.administer().close()
        except psycopg.OperationalError:
            time.sleep(0.1)
        else:
            return
    raise AssertionError("PostgreSQL does not come back, though it has space again")


def _kafka_paused(random_: random.Random) -> Fault:
    # Longer than a page is waited for, now and then.
    return KafkaPaused(random_.choice([lasting(random_, 5), lasting(random_, 5), 13.0]))


SERVERS = (
    Kind("postgres crashed", lambda random_: PostgresCrashed(lasting(random_, 2)), 3),
    Kind("postgres restarted", lambda random_: PostgresRestarted(lasting(random_, 1))),
    Kind("postgres stands still", lambda random_: PostgresPaused(lasting(random_, 6)), 2),
    Kind("postgres has no disk left", lambda random_: DiskFull(1 + lasting(random_, 2)), 2),
    Kind("postgres has no WAL left", lambda random_: WalFull(lasting(random_, 2)), 2),
    Kind("kafka killed", lambda random_: KafkaKilled(lasting(random_, 3)), 3),
    Kind("kafka restarted", lambda random_: KafkaRestarted(lasting(random_, 1))),
    Kind("kafka stands still", _kafka_paused, 3),
)
