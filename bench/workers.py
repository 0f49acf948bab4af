"""Messages a second that each worker handles, beside a bare consumer loop of the same run: `python -m bench.workers`.

The bare loop consumes the same messages and does nothing with them. The workers run as they run in production, on a
PostgreSQL and a Kafka of their own with nothing else at work; each line is one instance, one process. With `--docs` the
table goes into docs/performance.md.
"""

import argparse
import json
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import psycopg
from confluent_kafka import Consumer, Producer
from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined]

from app_integration.workers import Received, Worker, daemon, migrate
from app_integration.workers.analytics import worker as analytics
from app_integration.workers.audit import worker as audit
from app_integration.workers.integrations import worker as integrations
from app_integration.workers.notifications import worker as notification
from app_integration.workers.settings import Settings
from app_integration.workers.worker import Connection
from bench import section
from relay import migrate as outbox
from relay.local.kafka import Kafka
from relay.local.postgres import Postgres

PARTITIONS, USERS = 4, 1_000
COMMAND = "python -m bench.workers --docs"


def nothing(_connection: Connection, _message: Received) -> None:
    """Handle a message by doing nothing: what is left is the inbox."""


def messages(name: str, count: int) -> Iterator[tuple[str, str, bytes]]:
    """Make messages of a worker's topic: type, key, value."""
    for n in range(count):
        user = f"u{n % USERS}"
        if name == "analytics":
            body = {"userId": user, "event": "course_viewed", "occurredAt": f"2026-01-01T{n % 24:02}:00:00Z"}
            yield "analytics_event.v1", user, json.dumps(body).encode()
        elif name == "audit":
            yield "audit_entry.v1", "main", json.dumps({"action": "done", "resource": "thing", "userId": user}).encode()
        elif name == "notification":
            told = {"userId": user, "type": "news", "title": "News", "message": "There is news."}
            yield "notification.v1", user, json.dumps(told).encode()
        else:
            body = {"userId": user, "email": f"{user}@example.com", "userType": "student"}
            yield "user_registered.v1", user, json.dumps(body).encode()


def fill(brokers: str, name: str, count: int) -> str:
    """Produce them to a new topic, as the relay does; return its name."""
    topic, admin = f"bench-{uuid4().hex[:8]}", AdminClient({"bootstrap.servers": brokers})
    admin.create_topics([NewTopic(topic, PARTITIONS, 1)])[topic].result(30)
    producer = Producer({"bootstrap.servers": brokers, "partitioner": "murmur2_random", "linger.ms": 20})
    for type_, key, value in messages(name, count):
        headers: list[tuple[str, str | bytes | None]] = [
            ("ce_id", str(uuid4())),
            ("ce_type", type_),
            ("ce_time", "2026-01-01T00:00:00Z"),
        ]
        while True:
            try:
                producer.produce(topic, value, key, headers=headers)
                break
            except BufferError:
                producer.poll(0.1)
        producer.poll(0)
    producer.flush()
    return topic


def bare(brokers: str, topic: str, count: int) -> float:
    """Consume all of a topic; return the seconds from the first message to the last."""
    consumer = Consumer({"bootstrap.servers": brokers, "group.id": uuid4().hex, "auto.offset.reset": "earliest"})
    consumer.subscribe([topic])
    seen, began = 0, 0.0
    while seen < count:
        seen += len(consumer.consume(500, 1.0))
        began = began or (time.monotonic() if seen else 0.0)
    elapsed = time.monotonic() - began
    consumer.close()
    return elapsed


def handled(worker: Worker, settings: Settings, count: int) -> float:
    """Run a worker until it has handled all; return the seconds from the first message's commit to the last."""
    stop = threading.Event()
    thread = threading.Thread(target=daemon.run, args=(worker, settings), kwargs={"stop": stop})
    with psycopg.connect(settings.database_url, autocommit=True) as session:
        query = (
            "select count(*), extract(epoch from max(handled_at) - min(handled_at)) from worker.inbox"
            " where consumer = %s"
        )
        thread.start()
        try:
            while (row := session.execute(query, (worker.name,)).fetchone()) and row[0] < count:
                time.sleep(0.5)
        finally:
            stop.set()
            thread.join()
        assert row is not None
        return float(row[1])


@contextmanager
def services() -> Iterator[tuple[str, str]]:
    """Start a PostgreSQL with both schemas and a Kafka; give their addresses."""
    with ExitStack() as running:
        folder = Path(running.enter_context(tempfile.TemporaryDirectory()))
        folder.chmod(0o755)
        url = running.enter_context(Postgres(folder / "postgres")).url()
        brokers = running.enter_context(Kafka(folder / "kafka")).brokers
        outbox.upgrade(url)
        migrate.upgrade(url)
        yield url, brokers


def parts() -> dict[str, Callable[[], Worker]]:
    """Give the workers that are measured."""
    return {
        "inbox alone": lambda: Worker("inbox", ("any",), nothing),
        "inbox alone, a transaction each": lambda: Worker("inbox-each", ("any",), nothing, batch=1),
        "analytics": lambda: analytics.start({})[0],
        "audit": lambda: audit.start({})[0],
        "notification": lambda: notification.start({})[0],
        "integrations, 2 endpoints": integrations.worker,
    }


def measure(url: str, brokers: str, count: int) -> Iterator[str]:
    """Measure each worker; give the rows of the table."""
    with psycopg.connect(url, autocommit=True) as session:
        for host in ("a", "b"):
            session.execute(
                "insert into worker.endpoint (url, secret) values (%s, 'whsec_')", (f"https://{host}.example/",)
            )
    yield "| worker | messages/s | bare loop, messages/s | share |\n|---|---|---|---|"
    for name, make in parts().items():
        print(f"workers: {name}", file=sys.stderr)
        few = count if "each" not in name else count // 10
        worker = make()
        loop = count / bare(brokers, fill(brokers, worker.name, count), count)
        topic = fill(brokers, worker.name, few)
        settings = Settings(database_url=url, kafka_brokers=brokers)
        rate = few / handled(replace(worker, topics=(topic,)), settings, few)
        yield f"| {name} | {rate:,.0f} | {loop:,.0f} | {rate / loop:.1%} |"


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser("python -m bench.workers", description="Messages/s of each worker.")
    parser.add_argument("--messages", type=int, default=50_000, help="for each (%(default)s)")
    parser.add_argument("--docs", action="store_true", help="put the table into docs/performance.md")
    options = parser.parse_args()
    with services() as (url, brokers):
        about = section.about(url)
        text = "\n".join([*measure(url, brokers, options.messages), "", f"{options.messages:,} messages each. {about}"])
    section.tell("workers", COMMAND, text, docs=options.docs)


if __name__ == "__main__":
    main()
