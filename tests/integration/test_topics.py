import json
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from confluent_kafka.admin import AdminClient

from tests.command import relay
from tests.conftest import MakeTopic
from tests.services import delete_topics


@pytest.fixture
def name(kafka_admin: AdminClient) -> Iterator[str]:
    """The name of a topic that does not exist yet; deleted after the test if it does."""
    name = f"test-{uuid.uuid4()}"
    yield name
    delete_topics(kafka_admin, [name] if name in kafka_admin.list_topics().topics else [])


def topics(brokers: str, *arguments: str, code: int = 0, **listed: Any) -> tuple[dict[str, Any], str]:
    found = relay("topics", *arguments, "--json", KAFKA_BROKERS=brokers, RELAY_TOPICS=json.dumps(listed))
    assert found.returncode == code, found.stdout + found.stderr
    return json.loads(found.stdout or "{}"), found.stderr


def test_what_is_routed_where_and_what_exists(kafka_brokers: str, topic: str, name: str) -> None:
    found, _ = topics(kafka_brokers, orders={"name": topic}, users={"name": name, "partitions": 3})
    orders, users = found["topics"]
    assert (orders["logical"], orders["name"], orders["exists"], orders["partitions"]) == ("orders", topic, True, 4)
    assert (users["logical"], users["name"], users["exists"], users["partitions"]) == ("users", name, False, None)
    assert users["configured_partitions"] == 3


def test_looking_creates_nothing(kafka_brokers: str, kafka_admin: AdminClient, name: str) -> None:
    for _ in range(2):
        found, _ = topics(kafka_brokers, orders={"name": name})
        assert found["topics"][0]["exists"] is False
    assert name not in kafka_admin.list_topics().topics


def test_missing_topics_are_made_as_configured(kafka_brokers: str, name: str) -> None:
    listed = {"name": name, "partitions": 3, "replication": 1, "config": {"cleanup.policy": "compact"}}
    found, _ = topics(kafka_brokers, "--create", orders=listed)
    assert found["created"] == [name]
    (orders,) = found["topics"]
    assert (orders["exists"], orders["partitions"], orders["replication"]) == (True, 3, 1)
    assert orders["config"]["cleanup.policy"] == "compact"
    assert orders["differences"] == []


def test_what_is_not_configured_is_left_to_the_broker(kafka_brokers: str, name: str) -> None:
    found, _ = topics(kafka_brokers, "--create", orders={"name": name})
    assert found["topics"][0]["partitions"] >= 1


def test_creating_twice_is_as_good_as_once(kafka_brokers: str, name: str) -> None:
    assert topics(kafka_brokers, "--create", orders={"name": name})[0]["created"] == [name]
    assert topics(kafka_brokers, "--create", orders={"name": name})[0]["created"] == []


def test_a_topic_that_exists_is_never_altered_and_the_differences_are_told(
    kafka_brokers: str, make_topic: MakeTopic
) -> None:
    made = make_topic(partitions=2, config={"retention.ms": "1000000"})
    listed = {"name": made, "partitions": 5, "config": {"retention.ms": 2000000}}
    (orders,) = topics(kafka_brokers, "--create", orders=listed)[0]["topics"]
    assert orders["partitions"] == 2
    assert orders["differences"] == [
        "partitions is 2, configured is 5",
        "retention.ms is 1000000, configured is 2000000",
    ]


@pytest.mark.parametrize("wrong", [{"replication": 3}, {"config": {"no.such.setting": 1}}])
def test_what_kafka_refuses_is_named_with_its_reason(kafka_brokers: str, name: str, wrong: dict[str, Any]) -> None:
    _, said = topics(kafka_brokers, "--create", code=1, orders={"name": name, **wrong})
    assert said.startswith(f"relay: topic {name} was not created: ")


def test_two_listed_topics_may_share_one(kafka_brokers: str, name: str) -> None:
    found, _ = topics(kafka_brokers, "--create", orders={"name": name}, refunds={"name": name})
    assert found["created"] == [name]
    assert [topic["exists"] for topic in found["topics"]] == [True, True]


def test_two_listed_topics_that_share_one_must_agree_on_it(kafka_brokers: str, name: str) -> None:
    _, said = topics(kafka_brokers, "--create", code=2, orders={"name": name, "partitions": 1}, refunds={"name": name})
    assert f"[topics.refunds] shares the topic {name} with another" in said


def test_a_table_is_shown_to_people(kafka_brokers: str, topic: str) -> None:
    found = relay(
        "topics",
        KAFKA_BROKERS=kafka_brokers,
        RELAY_TOPICS=json.dumps({"orders": {"name": topic}}),
        RELAY_STRICT_TOPICS="true",
    )
    assert found.returncode == 0
    assert topic in found.stdout
    assert "any other topic is refused (strict_topics)" in found.stdout


def test_a_broker_that_does_not_answer_is_exit_code_1() -> None:
    found = relay("topics", KAFKA_BROKERS="127.0.0.1:1")
    assert found.returncode == 1
    assert "kafka at 127.0.0.1:1 does not answer" in found.stderr
    assert "check KAFKA_BROKERS" in found.stderr
