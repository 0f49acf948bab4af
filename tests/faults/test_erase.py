"""What is erased while relays work is never published again, and the order of its key stays."""

import os

import psycopg
import pytest
from confluent_kafka.admin import AdminClient

from relay.judge import read_topics
from tests.command import relay
from tests.conftest import MakeTopic
from tests.faults.test_flow import obeyed, say
from tests.faults.test_refusals import change
from tests.faults.world import World, wait_until

LARGE = os.urandom(5_000)

WHY = ("--why", "was asked to", "--yes")


@pytest.fixture
def small(make_topic: MakeTopic) -> str:
    """A topic that takes no large message."""
    return make_topic(config={"max.message.bytes": "2000"})


def ids_of(here: World, topic: str, key: str = "ann") -> list[str]:
    """The ids of all of a key that came, in order."""
    return [str(seen.id) for seen in read_topics(here.brokers, [topic]) if seen.key == key]


def ids_written(here: World, topic: str) -> list[str]:
    with psycopg.connect(here.database_url) as connection:
        found = connection.execute("select id::text from outbox.message where topic = %s order by seq", [topic])
        return [id_ for (id_,) in found.fetchall()]


def test_erasing_what_was_sent_or_is_pending_while_relays_work(here: World) -> None:
    database = {"DATABASE_URL": here.database_url}
    one = here.relay("one")
    here.relay("two")
    here.wait_until_owned(one=8, two=8)
    here.enqueue(5, key="ann")
    wait_until(lambda: here.states() == {"sent": 5}, 20)
    obeyed(here, say(here, "select outbox.pause(%s, 'x')", here.topic))
    here.enqueue(3, key="ann")
    wait_until(lambda: here.states() == {"sent": 5, "paused": 3}, 20)
    # Half a key would be an answer that nobody asked for: all of it is refused, with nothing erased.
    refused = relay("erase", "--topic", here.topic, "--key", "ann", *WHY, **database)
    assert refused.returncode == 2
    assert "not sent yet, and a relay will send it in its turn" in refused.stderr
    assert "nothing was changed" in refused.stderr
    assert say(here, "select count(*) from outbox.erased") == 0
    # Those that were sent can be erased by their ids, though the key has pending ones.
    sent = ids_written(here, here.topic)[:5]
    assert relay("erase", *sent, *WHY, **database).returncode == 0
    say(here, "select outbox.resume(%s, 'x')", here.topic)
    wait_until(lambda: here.states() == {"sent": 8}, 20)
    # A relay that takes over reads nothing of what was erased for new, though its rows were written again.
    one.kill()
    here.wait_until_owned(two=16)
    here.enqueue(2, key="ann")
    wait_until(lambda: here.states() == {"sent": 10}, 20)
    assert relay("erase", "--topic", here.topic, "--key", "ann", *WHY, **database).returncode == 0
    here.enqueue(1, key="ann")
    wait_until(lambda: here.states() == {"sent": 11}, 20)
    assert ids_of(here, here.topic) == ids_written(here, here.topic)
    assert say(here, "select count(*) from outbox.message where payload is not null") == 1


def test_erasing_what_is_held_lets_its_key_go_on_in_order(here: World, small: str) -> None:
    here.relay("one", RELAY_MAX_ATTEMPTS="1")
    here.enqueue(1, key="ann", payload=LARGE, topic=small)
    here.enqueue(5, key="ann", topic=small)
    here.enqueue(1, key="bob", payload=LARGE, topic=small)
    here.enqueue(5, key="bob", topic=small)
    wait_until(lambda: here.states(small) == {"dead": 2, "blocked": 10}, 20)
    dead, *behind = ids_written(here, small)[:6]
    assert relay("erase", dead, behind[1], *WHY, DATABASE_URL=here.database_url).returncode == 0
    wait_until(lambda: here.states(small) == {"dead": 1, "blocked": 5, "discarded": 2, "sent": 4}, 20)
    assert ids_of(here, small) == [behind[0], *behind[2:]]
    # All of a key that waits behind its dead message: nothing of it is left to send, and what comes later goes.
    found = relay("erase", "--topic", small, "--key", "bob", *WHY, DATABASE_URL=here.database_url)
    assert found.stdout.startswith("erased 6 messages"), found.stderr
    here.enqueue(1, key="bob", topic=small)
    wait_until(lambda: here.states(small) == {"discarded": 8, "sent": 5}, 20)
    assert ids_of(here, small, "bob") == ids_written(here, small)[-1:]
    assert ids_of(here, small) == [behind[0], *behind[2:]]


def test_message_that_is_erased_while_a_relay_sends_it_is_published_whole_and_once(
    here: World, small: str, kafka_admin: AdminClient
) -> None:
    here.relay("one", RELAY_RETRY_FIRST_SECONDS="4", RELAY_RETRY_LONGEST_SECONDS="4")
    here.enqueue(1, key="ann", payload=LARGE, topic=small)
    here.enqueue(2, key="ann", topic=small)
    wait_until(lambda: here.states(small) == {"retrying": 1, "blocked": 2}, 20)
    change(kafka_admin, small, {"max.message.bytes": "100000"})
    (held, *rest) = ids_written(here, small)
    with psycopg.connect(here.database_url) as operator:
        # Erased, and not committed yet: the relay reads it as it was, sends it, and waits here to record that.
        operator.execute("select outbox.erase('was asked to', ids => %s::uuid[])", [[held]])
        wait_until(lambda: ids_of(here, small)[:1] == [held], 30)
    wait_until(lambda: here.states(small) == {"sent": 3}, 20, lambda: str(here.states(small)))
    assert [(seen.id, seen.key) for seen in read_topics(here.brokers, [small])] == [
        (id_, "ann") for id_ in (held, *rest)
    ]
    assert say(here, "select count(*) from outbox.held where id = %s and payload is not null", held) == 0
