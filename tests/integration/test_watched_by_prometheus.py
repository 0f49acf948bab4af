"""Real relays, watched by a real Prometheus with our own rules, while what the alerts warn of is made to happen.

One long story rather than many short ones: a Kafka of its own that may be stopped, two relays and a Prometheus take
longer to start than anything that happens here.
"""

import json
import os
import signal
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psycopg
import pytest
from confluent_kafka.admin import AdminClient

from relay.local.kafka import Kafka
from relay.local.process import free_port
from tests.conftest import OwnKafka
from tests.faults.world import RelayProcess, World, wait_until, world
from tests.prometheus import RULES, Prometheus, family_of, impatient, our_families
from tests.services import REPOSITORY, create_topic

DASHBOARD = REPOSITORY / "docs" / "operations" / "dashboard.json"

OLD = "insert into outbox.message (topic, key, payload, created_at) values (%s, %s, %s, now() - interval '1 hour')"

DISK_FULL = """
create function outbox.full() returns trigger language plpgsql as
$$begin raise exception 'could not extend file: No space left on device' using errcode = '53100'; end$$;
create trigger full_disk before insert on outbox.checkpoint execute function outbox.full()
"""

CONSTANT = {"outbox_relay_build", "outbox_relay_disk_budget_bytes"}


class Story:
    """What happens, and what Prometheus makes of it.

    Args:
        here: where relays run.
        kafka: the broker, which may be stopped.
        prometheus: watches both ports.
        ports: of two relays.
        small: a topic that takes small messages only.
    """

    def __init__(self, here: World, kafka: Kafka, prometheus: Prometheus, ports: tuple[int, int], small: str) -> None:
        self.here, self.kafka, self.prometheus, self.small = here, kafka, prometheus, small
        self._ports = dict(zip("ab", ports, strict=True))
        self.alerts: set[str] = set()
        self.owner = psycopg.connect(here.database_url, autocommit=True)
        self.relay = self.start("a")

    def start(self, name: str) -> RelayProcess:
        settings = {
            "RELAY_HTTP_PORT": str(self._ports[name]),
            "RELAY_MEASURE_INTERVAL_SECONDS": "1",
            "RELAY_DISK_BUDGET": "3MB",
            # Long enough to be seen between two.
            "RELAY_CHECKPOINT_INTERVAL_SECONDS": "3",
            "RELAY_RETENTION": "0",
            "RELAY_TAKEOVER_SECONDS": "8",
            "RELAY_MAX_ATTEMPTS": "1",
            "RELAY_STRICT_TOPICS": "true",
            "RELAY_TOPICS": json.dumps({self.here.topic: {}, self.small: {}}),
        }
        return self.here.relay(name, **settings)

    def enqueue(self, topic: str, payload: bytes = b"x", key: str = "k") -> None:
        """Commit a message that looks an hour old."""
        self.owner.execute(OLD, (topic, key, payload))

    def until_firing(self, *names: str) -> None:
        """Wait until some alerts fire."""
        wait_until(
            lambda: set(names) <= self.prometheus.firing(), 60, lambda: f"{self.prometheus.firing()}, not {names}"
        )
        self.alerts |= self.prometheus.firing()

    def until(self, expression: str) -> None:
        """Wait until an expression of Prometheus has a value."""
        wait_until(lambda: bool(self.prometheus.query(expression)), 60, lambda: expression)

    def moved(self) -> set[str]:
        """The metrics that have changed: a counter has counted, any other has had two values."""
        named = self.prometheus.query('count by (__name__) ({__name__=~"outbox_relay_.+"})')
        found = set()
        for name in (series["metric"]["__name__"] for series in named):
            family = family_of(name)
            counts = family != name
            change = f"max_over_time({name}[1h])" + ("" if counts else f" - min_over_time({name}[1h])")
            if family in CONSTANT or self.prometheus.query(f"{change} > 0"):
                found.add(family)
        return found


@pytest.fixture
def story(database: str, own_kafka: OwnKafka, tmp_path: Path) -> Iterator[Story]:
    kafka = own_kafka()
    admin = AdminClient({"bootstrap.servers": kafka.brokers})
    topic, small = create_topic(admin, 4, {}), create_topic(admin, 1, {"max.message.bytes": "2000"})
    ports = free_port(), free_port()
    rules = impatient(RULES.read_text()).replace("measured_age_seconds) > 300", "measured_age_seconds) > 3")
    with (
        world(database, kafka.brokers, topic, tmp_path) as here,
        closing(Prometheus(tmp_path / "prometheus", ports, rules)) as prometheus,
    ):
        story = Story(here, kafka, prometheus, ports, small)
        with story.owner:
            yield story


def test_every_alert_fires_when_its_cause_is_made_and_every_metric_moves(story: Story) -> None:
    prometheus = story.prometheus
    postgres_has_a_full_disk(story)
    a_message_is_refused_and_a_topic_is_missing(story)
    another_relay_hangs(story)
    kafka_takes_nothing(story)
    an_operator_discards(story)
    somebody_locks_a_table(story)
    for expression in dashboard():
        assert prometheus.query(expression), expression
    assert our_families() - story.moved() == set()
    story.relay.kill()
    story.until_firing("OutboxRelaysDown")
    assert story.alerts == {line.split()[2] for line in RULES.read_text().splitlines() if "- alert:" in line}


def a_message_is_refused_and_a_topic_is_missing(story: Story) -> None:
    for number in range(20):
        story.enqueue(story.here.topic, key=str(number))
    story.enqueue(story.small, os.urandom(3_000_000))
    story.enqueue(story.small)
    story.enqueue("nowhere")
    story.until("outbox_relay_blocked_keys > 0")
    story.owner.execute("update outbox.held set held_at = held_at - interval '1 hour'")
    story.until_firing(
        "OutboxMessagesDead", "OutboxKeysBlocked", "OutboxTopicAway", "OutboxLatencyHigh", "OutboxDiskNearBudget"
    )


def another_relay_hangs(story: Story) -> None:
    other = story.start("b")
    story.here.wait_until_owned(a=8, b=8)
    story.until("max(outbox_relay_live_relays) == 2")
    other.send(signal.SIGSTOP)
    story.until_firing("OutboxRelayHangs")
    story.until("outbox_relay_hung_relays_ended_total > 0")
    other.kill()


def kafka_takes_nothing(story: Story) -> None:
    story.kafka.pause()
    for number in range(20):
        story.enqueue(story.here.topic, key=str(number))
    story.until_firing("OutboxKafkaAway", "OutboxRelayNotReady", "OutboxBacklogOld", "OutboxDiskFullSoon")
    story.kafka.resume()
    story.until("outbox_relay_ready == 1")


def an_operator_discards(story: Story) -> None:
    story.owner.execute("select outbox.discard('too large', topic => %s, state => 'dead')", (story.small,))
    story.until("outbox_relay_held_published_messages_total > 0")
    story.until("outbox_relay_slots_emptied_total > 0")


def postgres_has_a_full_disk(story: Story) -> None:
    story.until("outbox_relay_ready == 1")
    story.owner.execute(DISK_FULL)
    story.enqueue(story.here.topic)
    story.until_firing("OutboxRelayInterrupted", "OutboxShardsFree")
    story.owner.execute("drop trigger full_disk on outbox.checkpoint")
    story.until("outbox_relay_ready == 1")


def somebody_locks_a_table(story: Story) -> None:
    with psycopg.connect(story.here.database_url) as blocker:
        blocker.execute("lock table outbox.held in access exclusive mode")
        story.until_firing("OutboxUnmeasured", "OutboxChoresFail")
        story.until("outbox_relay_loop_stuck_total > 0")
    story.until("outbox_relay_ready == 1")


def dashboard() -> list[str]:
    """The expressions of the dashboard, as Grafana would send them."""
    panels = json.loads(DASHBOARD.read_text())["panels"]
    expressions = [target["expr"] for panel in panels for target in panel["targets"]]
    return [one.replace("$job", "outbox-relay").replace("$__rate_interval", "5m") for one in expressions]
