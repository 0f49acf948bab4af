"""A worker whose partitions were taken away and given back goes on where its group stands."""

import json
import signal
import subprocess
import sys
import tempfile
from contextlib import closing

from confluent_kafka.admin import AdminClient

from app_integration.workers.group import Group
from app_integration.workers.settings import Settings
from tests.conftest import MakeTopic
from tests.integration.workers.conftest import Connection, Produce, rows, variables, wait_until

PATIENT = """
import sys
from app_integration.__main__ import main
from app_integration.workers import loop
loop.LOOK_SECONDS = 60.0
sys.exit(main())
"""
"""A worker that waits so long for a message that it is lost, taken again and sent messages within one wait: an ordinary
one meets that now and then."""


def test_only_instance_that_was_frozen_until_its_group_forgot_it_passes_nothing_over(
    make_topic: MakeTopic, session: Connection, settings: Settings, produce: Produce
) -> None:
    topic, admin = make_topic(partitions=2), AdminClient({"bootstrap.servers": settings.kafka_brokers})
    sent: list[str] = []

    def send(many: int) -> None:
        for n in range(many):
            entry = {"action": "done", "resource": "thing", "chain": f"c{n % 5}"}
            sent.append(produce(topic, json.dumps(entry).encode(), key=f"c{n % 5}", ce_type="audit_entry.v1"))

    def members() -> int:
        group = f"{settings.group_prefix}audit"
        return len(admin.describe_consumer_groups([group])[group].result(10).members)

    def missing() -> set[str]:
        return set(sent) - {name for (name,) in rows(session, "select ce_id from worker.inbox")}

    given = variables(settings, topic)
    command = [sys.executable, "-c", PATIENT, "worker", "audit"]
    worker = subprocess.Popen(command, cwd=tempfile.gettempdir(), env=given, stderr=subprocess.DEVNULL)
    try:
        send(10)
        wait_until(lambda: not missing(), "it works")
        worker.send_signal(signal.SIGSTOP)
        wait_until(lambda: members() == 0, "its group has forgotten it")
        send(20)
        worker.send_signal(signal.SIGCONT)
        wait_until(lambda: members() == 1, "it has joined again")
        send(10)
        wait_until(lambda: not missing(), "all is handled", 30)
    finally:
        worker.kill()
        worker.wait()


def test_partition_that_was_taken_away_in_a_pause_and_given_back_after_it_is_fetched_again(
    make_topic: MakeTopic, settings: Settings, produce: Produce
) -> None:
    topic = make_topic(partitions=2)
    properties = {**settings.properties, "heartbeat.interval.ms": "300"}

    def join() -> Group:
        return Group(properties, settings.group_prefix, (topic,))

    def came(group: Group, many: int) -> bool:
        group.receive(many, 0.1)
        return group.pending == many

    def shared(first: Group, second: Group) -> bool:
        for group in (first, second):
            group.receive(group.pending + 1, 0.1)
        return len(first.lag()) == len(second.lag()) == 1

    with closing(join()) as first:
        sent = {produce(topic, b"", key=str(n)) for n in range(10)}
        wait_until(lambda: came(first, 10), "both partitions are fetched")
        first.done(first.take(10))
        first.pause()  # as in an outage of the database
        with closing(join()) as second:
            wait_until(lambda: shared(first, second), "each has one")
            first.resume()
        sent = {produce(topic, b"", key=str(n)) for n in range(10)}
        wait_until(lambda: came(first, 10), "both partitions are fetched again", 20)
        assert {message.id for message in first.take(10)} == sent
