"""Relays hang, wake and are restarted while writers go on: their shards go on with others, and nothing comes late."""

import fcntl
import json
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

import psycopg
import pytest

from relay import locks
from relay.connection import connect
from relay.judge import read_topics
from relay.leasing.fleet import tie
from relay.watching import status
from tests.command import relay
from tests.faults.world import OWNERS, World, wait_until, world
from tests.fuzz.writers import Writers

SEED = random.SystemRandom().randrange(10**6)
TAKEOVER = 5
QUICK = {"RELAY_TAKEOVER_SECONDS": str(TAKEOVER)}
NOTICED = TAKEOVER + 4.0
"""Two looks after the takeover time the sessions are ended, and at the next the shards are taken; on a busy machine."""


@pytest.fixture
def here(database: str, kafka_brokers: str, topic: str, tmp_path: Path) -> Iterator[World]:
    print(f"seed {SEED}")
    with world(database, kafka_brokers, topic, tmp_path) as made:
        yield made


def writing(here: World, pause: float = 0.01) -> Writers:
    """Write until stopped."""
    return Writers(here.database_url, here.topic, SEED, 10**9, pause=pause, stubborn=True)


def holders(here: World) -> set[int]:
    """The process ids of the lease sessions that hold a shard."""
    statement = "select distinct pid from pg_locks where locktype = 'advisory' and classid::bigint = %s and granted"
    with psycopg.connect(here.database_url) as connection:
        return {pid for (pid,) in connection.execute(statement, [locks.LEASE]).fetchall()}


def test_shards_of_a_relay_that_hangs_are_taken_and_what_it_does_on_waking_harms_nobody(here: World) -> None:
    with here.judged() as judge:
        one, two = here.relay("one", **QUICK), here.relay("two", **QUICK)
        here.wait_until_owned(one=8, two=8)
        writers = writing(here)
        arrived = 0
        for _ in range(3):
            arrived += 1_500
            judge.arrived(arrived, 60)
            two.send(signal.SIGSTOP)
            began = time.monotonic()
            here.wait_until_owned(NOTICED, one=16)
            print(f"taken {time.monotonic() - began:.1f} s after the stop")
            arrived += 1_500
            judge.arrived(arrived, 60)
            two.send(signal.SIGCONT)
            here.wait_until_owned(one=8, two=8)
        writers.stop()
        assert not judge.verdict().broken
    assert one.said("relay two has been silent for")
    assert two.said("this process did not run for")
    assert two.said("interrupted: the database closed or refused a session")


def test_what_a_relay_had_queued_when_it_was_stopped_does_not_come_late(here: World) -> None:
    """Two are stopped at full load, with pages half sent, and wake when another has sent all that was theirs.

    A request that a thread of librdkafka was just about to write when it was stopped is written when it wakes: one for
    each of the two producers. Nothing behind it is.
    """
    with here.judged() as judge:
        relays = [here.relay(name, **QUICK) for name in ("one", "two", "three")]
        wait_until(lambda: sorted(here.owners().values()) == [5, 5, 6], 45)
        backlog(here, 300_000)
        judge.arrived(10_000)
        owners = who_owns(here)
        for each in relays[1:]:
            each.send(signal.SIGSTOP)
        here.wait_until_owned(NOTICED, one=16)
        judge.arrived(300_000, 90)
        wait_until(lambda: status.read(here.database_url).pending == 0, 20)
        before = Counter(message.partition for message in read_topics(here.brokers, [here.topic]))
        for each in relays[1:]:
            each.send(signal.SIGCONT)
        wait_until(lambda: sorted(here.owners().values()) == [5, 5, 6], 45)
        assert not judge.verdict().broken
    late = [seen for seen in read_topics(here.brokers, [here.topic]) if seen.offset >= before[seen.partition]]
    shards = shards_of(here, [seen.id or "" for seen in late])
    requests = {(owners[shards[seen.id or ""]], seen.partition) for seen in late}
    print(f"{len(late)} messages came late, in the requests {requests}")
    assert all(count <= 2 for count in Counter(name for name, _ in requests).values())


def who_owns(here: World) -> dict[int, str]:
    """The name of the relay that holds each shard."""
    with psycopg.connect(here.database_url) as connection:
        return dict(connection.execute(OWNERS, [locks.LEASE]).fetchall())


def shards_of(here: World, ids: list[str]) -> dict[str, int]:
    """The shard of each of some messages."""
    with psycopg.connect(here.database_url) as connection:
        statement = "select id::text, shard from outbox.message where id = any(%s::uuid[])"
        return dict(connection.execute(statement, [ids]).fetchall())


def backlog(here: World, count: int) -> None:
    """Commit many messages at once."""
    statement = """
        insert into outbox.message (topic, key, payload)
        select %s, 'locked-' || n %% 1000, repeat('x', 300)::bytea from generate_series(1, %s) as n
    """
    with psycopg.connect(here.database_url) as connection:
        connection.execute(statement, [here.topic, count])


def test_relay_that_hangs_in_its_own_log_loses_its_shards_and_ends_itself(here: World, tmp_path: Path) -> None:
    """A pipe that nobody reads stands for all that a loop can be stuck in while its process runs."""
    pipe = tmp_path / "one.log"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    with here.judged() as judge:
        one = here.relay("one", **QUICK)
        here.relay("two", **QUICK)
        here.wait_until_owned(one=8, two=8)
        writers = writing(here)
        judge.arrived(500)
        fill(pipe)
        here.relay("three", **QUICK)
        wait_until(lambda: here.owners() == {"two": 8, "three": 8}, 45, lambda: str(here.owners()))
        assert one.process.wait(30) == 1
        writers.stop()
        assert not judge.verdict().broken
    os.close(reader)


def fill(pipe: Path) -> None:
    """Write to a pipe until it takes no more."""
    writer = os.open(pipe, os.O_WRONLY | os.O_NONBLOCK)
    fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 4096)
    for size in (4096, 1):
        with suppress(BlockingIOError):
            while True:
                os.write(writer, b"." * size)
    os.close(writer)


def test_relay_ends_whoever_hangs_with_a_slot_locked_though_it_cannot_read_itself(here: World) -> None:
    """As the session of a relay that was stopped while it pruned: it has no lease, and is in everybody's way."""
    with here.judged() as judge, closing(connect(here.database_url, "hangs")) as hangs:
        tie(hangs, hangs.info.backend_pid, locks.BESIDE)
        one = here.relay("one", **QUICK)
        here.wait_until_owned(one=16)
        hangs.execute("begin")
        hangs.execute("lock table outbox.message_3 in access exclusive mode")
        wait_until(lambda: one.said("is locked against reading"), 20)
        here.enqueue(10)
        judge.arrived(10, TAKEOVER + 10)
        assert one.said("relay hangs has been silent for")
        assert not judge.verdict().broken


def test_relay_that_may_not_read_for_a_while_keeps_its_shards_and_goes_on(here: World) -> None:
    with here.judged() as judge, psycopg.connect(here.database_url) as migration:
        one, _ = here.relay("one", **QUICK), here.relay("two", **QUICK)
        here.wait_until_owned(one=8, two=8)
        migration.execute("lock table outbox.message_0 in access exclusive mode")
        wait_until(lambda: one.said("is locked against reading"), 20)
        with pytest.raises(AssertionError, match="it never held"):
            wait_until(lambda: one.said("silent for") or one.said("interrupted"), NOTICED)
        assert here.owners() == {"one": 8, "two": 8}
        migration.rollback()
        here.enqueue(10)
        judge.arrived(10)
        assert not judge.verdict().broken


def test_status_shows_a_relay_that_hangs_as_not_healthy(here: World) -> None:
    two = here.relay("two")

    def seen() -> dict[str, object]:
        found = json.loads(relay("status", "--json", DATABASE_URL=here.database_url).stdout)["relays"]
        return {each["name"]: each["healthy"] for each in found}

    wait_until(lambda: seen() == {"two": True}, 45)
    two.send(signal.SIGSTOP)
    wait_until(lambda: seen() == {"two": False}, 20)
    assert "two: 16 shards, not healthy, heard of" in relay("status", DATABASE_URL=here.database_url).stdout
    two.send(signal.SIGCONT)
    wait_until(lambda: seen() == {"two": True}, 20)


def test_second_relay_of_the_same_name_is_told_and_only_the_one_that_hangs_is_ended(here: World) -> None:
    first = here.relay("twin", **QUICK)
    wait_until(lambda: len(holders(here)) == 1, 45)
    (hangs,) = holders(here)
    here.relay("twin", **QUICK)
    wait_until(lambda: len(holders(here)) == 2, 45)
    (works,) = holders(here) - {hangs}
    wait_until(lambda: first.said("another live relay is called twin too"), 45)
    first.send(signal.SIGSTOP)
    wait_until(lambda: holders(here) == {works}, NOTICED)
    first.send(signal.SIGCONT)
    wait_until(lambda: len(holders(here)) == 2, 45)
    assert works in holders(here)


@pytest.mark.timeout(300)
def test_rolling_restarts_of_three_relays_with_kills_among_them_lose_and_reorder_nothing(here: World) -> None:
    with here.judged() as judge:
        relays = [here.relay(name) for name in ("one", "two", "three")]
        writers = writing(here)
        for turn, each in enumerate(relays * 2):
            judge.arrived(1_000 * (turn + 1), 60)
            wait_until(lambda: sorted(here.owners().values()) == [5, 5, 6], 45, lambda: str(here.owners()))
            if turn % 2:
                each.kill()
            else:
                assert each.terminate() == 0
            each.start()
        writers.stop()
        assert not judge.verdict().broken
