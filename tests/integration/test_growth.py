"""What docs/growth.md tells an operator to do keeps the order of every key."""

from collections import defaultdict

import psycopg
from confluent_kafka.admin import AdminClient, NewPartitions  # type: ignore[attr-defined]

from relay import migrate
from relay.judge import read_topics
from relay.operators.find import partition_of
from tests.command import relay
from tests.faults.world import World, wait_until
from tests.integration.holding import hold


def write(here: World, first: int) -> None:
    for number in range(first, first + 5):
        for key in range(12):
            here.enqueue(1, key=f"k{key}", payload=str(number).encode())


def dead(here: World, key: str) -> None:
    """Let a message be dead, as a relay leaves it; nothing of its key goes before somebody answers."""
    with psycopg.connect(here.database_url, autocommit=True) as session:
        hold(session, "dead", topic=here.topic, key=key)


def order(here: World) -> dict[str, list[str]]:
    """The ids that came, by key; a later one is higher."""
    found: dict[str, list[str]] = defaultdict(list)
    for seen in read_topics(here.brokers, [here.topic]):
        found[str(seen.key)].append(str(seen.id))
    return found


def test_partitions_are_added_in_order_by_the_documented_procedure(here: World, kafka_admin: AdminClient) -> None:
    database = {"DATABASE_URL": here.database_url}
    dead(here, "k0")
    one = here.relay("one")
    here.wait_until_owned(one=16)
    write(here, 0)
    wait_until(lambda: here.states() == {"sent": 55, "dead": 1, "blocked": 5}, 20)
    assert relay("pause", here.topic, "--why", "partitions", **database).returncode == 0
    write(here, 5)
    wait_until(lambda: here.states() == {"sent": 55, "dead": 1, "blocked": 5, "paused": 60}, 20)
    for done in kafka_admin.create_partitions([NewPartitions(here.topic, 7)]).values():
        done.result(30)
    told = relay(
        "doctor", **database, KAFKA_BROKERS=here.brokers, RELAY_TOPICS=f'{{"{here.topic}": {{"partitions": 4}}}}'
    )
    assert "partitions 7" in told.stdout
    one.terminate()
    one.start()
    here.wait_until_owned(one=16)
    assert here.states() == {"sent": 55, "dead": 1, "blocked": 5, "paused": 60}
    assert relay("resume", here.topic, "--why", "partitions", **database).returncode == 0
    wait_until(lambda: here.states() == {"sent": 110, "dead": 1, "blocked": 10}, 20)
    assert relay("replay", "--topic", here.topic, "--why", "mended", "--yes", **database).returncode == 0
    wait_until(lambda: here.states() == {"sent": 121}, 20)
    places: dict[str, list[int | None]] = defaultdict(list)
    for seen in sorted(read_topics(here.brokers, [here.topic]), key=lambda seen: seen.id or ""):
        places[str(seen.key)].append(seen.partition)
    # What was held before goes behind the change, all of it, in its order.
    assert places.pop("k0") == [partition_of(b"k0", 7)] * 11
    assert order(here)["k0"] == sorted(order(here)["k0"])
    for key, partitions in places.items():
        old, new = partition_of(key.encode(), 4), partition_of(key.encode(), 7)
        assert partitions == [old] * 5 + [new] * 5


def test_shard_count_is_changed_in_order_by_the_documented_procedure(here: World) -> None:
    both = {"DATABASE_URL": here.database_url, "KAFKA_BROKERS": here.brokers}
    dead(here, "k0")
    write(here, 0)
    assert relay("migrate", "--down", **both).returncode == 2
    drained = relay("drain", "--wait", "60", **both)
    assert (drained.returncode, "5 blocked, 1 dead" in drained.stderr) == (1, True), drained.stderr
    # What is held is unsent too.
    refused = relay("migrate", "--down", **both)
    assert (refused.returncode, "6 message(s) in outbox.message are unsent" in refused.stderr) == (2, True)
    given_up = relay("discard", "--topic", here.topic, "--state", "dead", "--why", "for good", "--yes", **both)
    assert given_up.returncode == 0, given_up.stderr
    assert relay("drain", "--wait", "60", **both).returncode == 0
    assert relay("migrate", "--down", **both).returncode == 0
    migrate.upgrade(here.database_url, shards=40)
    write(here, 5)
    assert relay("drain", "--wait", "60", **both).returncode == 0
    found = order(here)
    assert len(found) == 12
    assert all(len(ids) == 10 and ids == sorted(ids) for ids in found.values())
