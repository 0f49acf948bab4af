"""A topic that cannot be written to holds its own messages, in order, and nobody else's; no outage kills any."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest
from confluent_kafka.admin import (  # type: ignore[attr-defined]
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    AdminClient,
    NewTopic,
    ResourcePatternType,
    ResourceType,
)

from relay.judge import read_topics
from relay.local.kafka import Kafka
from tests import services
from tests.faults.world import World, wait_until, world

DENIED = (ResourcePatternType.LITERAL, "User:ANONYMOUS", "*", AclOperation.WRITE, AclPermissionType.DENY)

DIE = """
-- die: hold the only message as one that is dead, as if a checkpoint had passed over it
with dead as (
    insert into outbox.held (shard, seq, id, topic, key, payload, created_at, scope, due_at, attempts, failed_at, fault,
                             code, error)
    select shard, seq, id, topic, key, payload, created_at, 'key', 'infinity', 10, now(), 'message',
           'MSG_SIZE_TOO_LARGE', 'too large'
    from outbox.message
    returning shard
), horizon as (
    insert into outbox.snapshot (taken, floor, system_identifier)
    select pg_current_snapshot(), 0, system_identifier from pg_control_system()
    returning id
)
insert into outbox.checkpoint (shard, batch, seen, target, upto, sent)
select shard, 1, horizon.id, null, 0, 0 from dead, horizon
"""

NEIGHBOUR = """
-- neighbour: another key of the shard of key a
select 'c' || n from generate_series(1, 1000) n
where abs(hashtextextended('c' || n, 0) % 16) = abs(hashtextextended('a', 0) % 16) limit 1
"""


@dataclass(frozen=True)
class Topics:
    """The topics of a test: one that can be written to, and one that is away until it is brought back."""

    there: str
    away: str
    bring_back: Callable[[], None]


@pytest.fixture
def admin(strict_kafka: Kafka) -> AdminClient:
    return AdminClient({"bootstrap.servers": strict_kafka.brokers})


def make(admin: AdminClient, name: str) -> None:
    admin.create_topics([NewTopic(name, num_partitions=2, replication_factor=1)])[name].result(30)


@pytest.fixture(params=["unknown", "forbidden"])
def topics(request: pytest.FixtureRequest, admin: AdminClient, database: str) -> Iterator[Topics]:
    own = database.rpartition("/")[2]
    there, away = f"there-{own}-{request.param}", f"away-{own}-{request.param}"
    make(admin, there)
    if request.param == "unknown":
        yield Topics(there, away, lambda: make(admin, away))
    else:
        make(admin, away)
        denied = AclBinding(ResourceType.TOPIC, away, *DENIED)
        admin.create_acls([denied])[denied].result(30)
        taken_away = AclBindingFilter(ResourceType.TOPIC, away, *DENIED)
        yield Topics(there, away, lambda: admin.delete_acls([taken_away])[taken_away].result(30))
    for deleted in admin.delete_topics([there, away]).values():
        deleted.result(30)


@pytest.fixture
def here(database: str, strict_kafka: Kafka, topics: Topics, tmp_path: Path) -> Iterator[World]:
    with world(database, strict_kafka.brokers, topics.there, tmp_path) as made:
        yield made


def tried_again_in_vain(here: World) -> bool:
    """Whether time has passed with attempts, none of which counted."""
    with psycopg.connect(here.database_url) as connection:
        found = connection.execute("select max(failed_at - held_at) > interval '6 s', max(attempts) from outbox.held")
        return found.fetchone() == (True, 0)


def test_topic_that_is_away_is_held_in_order_dead_letters_nothing_and_drains_when_it_is_back(
    here: World, topics: Topics
) -> None:
    with here.judged() as judge:
        one = here.relay("one", RELAY_MAX_ATTEMPTS="1")
        for key in ("locked-a", "locked-b"):
            here.enqueue(50, key=key, topic=topics.away)
        here.enqueue(20, key="locked-c")
        wait_until(lambda: here.states(topics.away) == {"unreachable": 100}, 60, lambda: f"{here.states(topics.away)}")
        judge.arrived(20)
        wait_until(lambda: one.said(f"topic {topics.away} cannot be written to"), 10)
        wait_until(lambda: tried_again_in_vain(here), 30)
        topics.bring_back()
        wait_until(lambda: here.states(topics.away) == {"sent": 100}, 30, lambda: f"{here.states(topics.away)}")
        here.enqueue(5, key="locked-a", topic=topics.away)
        wait_until(lambda: here.states(topics.away) == {"sent": 105}, 20)
        wait_until(lambda: one.said(f"topic {topics.away} is not away any more"), 20)
        assert not judge.verdict().broken
    with psycopg.connect(here.database_url) as connection:
        wanted = connection.execute(
            "select id::text, key from outbox.message where topic = %s order by seq", (topics.away,)
        ).fetchall()
    came = read_topics(here.brokers, [topics.away])
    for key in ("locked-a", "locked-b"):
        first = list(dict.fromkeys(seen.id for seen in came if seen.key == key))
        assert first == [id_ for id_, of in wanted if of == key]


def test_dead_message_of_a_topic_that_was_away_blocks_its_key_alone_when_the_topic_is_back(
    here: World, topics: Topics
) -> None:
    """As if it had died before the outage, with messages behind it that came while it lasted."""
    here.enqueue(1, key="a", topic=topics.away)
    with psycopg.connect(here.database_url, autocommit=True) as connection:
        connection.execute(DIE)
        (neighbour,), *_ = connection.execute(NEIGHBOUR).fetchall()
        here.enqueue(1, key="b", topic=topics.away)
        here.relay("one")
        wait_until(lambda: here.states(topics.away) == {"dead": 1, "unreachable": 1}, 60)
        here.enqueue(3, key="a", topic=topics.away)
        here.enqueue(1, key=neighbour, topic=topics.away)
        wait_until(lambda: here.states(topics.away).total() == 6 and not here.states(topics.away)["pending"], 20)
        topics.bring_back()
        wait_until(lambda: here.states(topics.away) == {"dead": 1, "blocked": 3, "sent": 2}, 30)
        here.enqueue(3, key=neighbour, topic=topics.away)
        wait_until(lambda: here.states(topics.away) == {"dead": 1, "blocked": 3, "sent": 5}, 20)
        detours = connection.execute("select count(*) from outbox.held where key = %s", (neighbour,)).fetchall()
    assert detours == [(1,)]


def test_reading_pauses_when_too_much_is_held_and_goes_on_by_itself(here: World, topics: Topics) -> None:
    with here.judged() as judge:
        here.enqueue(600, key="locked-a", topic=topics.away)
        here.enqueue(1)
        one = here.relay("one", RELAY_HELD_LIMIT="200", RELAY_PAGE_ROWS="100")
        wait_until(lambda: one.said("reading is paused"), 60)
        assert one.said(f"so much waits: {topics.away} ")
        topics.bring_back()
        wait_until(lambda: here.states(topics.away) == {"sent": 600}, 60, lambda: f"{here.states(topics.away)}")
        assert one.said("reading goes on")
        here.enqueue(5)
        judge.arrived(6)
        assert not judge.verdict().broken


def test_partition_without_a_leader_holds_its_topic_and_no_other(
    own_kafka: Callable[[], Kafka], services_folder: Path, database: str, tmp_path: Path
) -> None:
    first = own_kafka()
    with ExitStack() as running:
        second = services.start_kafka(running, services.new_folder(services_folder, "kafka"), joins=first)
        admin = AdminClient({"bootstrap.servers": first.brokers})
        admin.create_topics(
            [
                NewTopic("there", num_partitions=4, replica_assignment=[[1]] * 4),
                NewTopic("half", num_partitions=4, replica_assignment=[[1], [2], [1], [2]]),
            ]
        )["half"].result(30)
        with world(database, first.brokers, "there", tmp_path) as here, here.judged() as judge:
            one = here.relay("one", RELAY_MAX_ATTEMPTS="1")
            for topic in ("half", "there"):
                for number in range(20):
                    here.enqueue(1, key=f"locked-{number}", topic=topic)
            judge.arrived(20)
            wait_until(lambda: here.states("half") == {"sent": 20}, 20)
            second.kill()
            for number in range(20):
                here.enqueue(2, key=f"locked-{number}", topic="half")
            wait_until(lambda: one.said("topic half cannot be written to"), 60, one.log.read_text)
            here.enqueue(20, key="locked-1")
            judge.arrived(40)
            assert here.states("half")["sent"] < 60
            second.start()
            wait_until(lambda: here.states("half") == {"sent": 60}, 60, lambda: f"{here.states('half')}")
            assert not judge.verdict().broken


def test_topic_deleted_and_made_anew_under_a_running_relay_takes_the_backlog_in_order(
    database: str, strict_kafka: Kafka, admin: AdminClient, tmp_path: Path
) -> None:
    name = f"deleted-{database.rpartition('/')[2]}"
    make(admin, name)
    with world(database, strict_kafka.brokers, name, tmp_path) as here:
        one = here.relay("one", RELAY_MAX_ATTEMPTS="1")
        here.enqueue(5)
        wait_until(lambda: here.states() == {"sent": 5}, 30)
        admin.delete_topics([name])[name].result(30)
        here.enqueue(20)
        wait_until(lambda: here.states() == {"sent": 5, "unreachable": 20}, 60, one.log.read_text)
        make(admin, name)
        wait_until(lambda: here.states() == {"sent": 25}, 30, lambda: f"{here.states()}")
        with psycopg.connect(database) as connection:
            rows = connection.execute("select id::text from outbox.message where seq > 5 order by seq").fetchall()
        assert list(dict.fromkeys(seen.id for seen in read_topics(here.brokers, [name]))) == [id_ for (id_,) in rows]
    admin.delete_topics([name])[name].result(30)
