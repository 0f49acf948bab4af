"""What runs in a process of its own to be measured, and reports on itself: `python -m relay.bench.inside drain|bare`.

The environment says where; the last line of its output is a `child.Work` as JSON. It loads what a running relay
loads and nothing of the benchmark besides, so that time and memory are the relay's.
"""

import json
import os
import queue
import re
import resource
import sys
import threading
import time
from pathlib import Path
from typing import Any

import psycopg
from confluent_kafka import KafkaError, Message, Producer

from relay import daemon, events
from relay.configuration.loading import load
from relay.configuration.settings import Settings
from relay.publishing.envelope import envelope
from relay.publishing.producer import TUNING

FETCH = """
-- fetch_all
select shard, seq, id::text, topic, key, type, payload, content_type, headers::text, to_json(created_at)::text,
       false, 0
from outbox.message
"""

BEST: dict[str, Any] = {
    "enable.idempotence": True,
    "acks": "all",
    "delivery.report.only.error": True,
    "linger.ms": 5,
    "batch.size": 1_000_000,
    "batch.num.messages": 10_000,
    "partitioner": "murmur2_random",
    "compression.type": TUNING["compression.type"],
    "queue.buffering.max.messages": 10_000_000,
    "queue.buffering.max.kbytes": 1_048_576,
    "message.max.bytes": 100_000_000,
}
"""The fastest settings found for the bare loop: five requests in flight, and whatever order and loss that brings after
a failure."""


def drain(settings: Settings) -> tuple[int, float]:
    """Drain the outbox; return how many messages, and the seconds from joining to the last checkpoint."""
    joined: list[float] = []

    def tell(event: events.Event) -> None:
        if isinstance(event, events.Started):
            joined.append(time.perf_counter())

    count = daemon.drain(settings, tell=tell)
    return count, time.perf_counter() - joined[0]


def bare_loop(settings: Settings) -> tuple[int, float]:
    """Send every row of the outbox and record nothing.

    It scans the table with a binary cursor on a thread of its own, keeps no order across transactions, survives nothing
    and marks nothing: the least that sending the same bytes can cost from Python. All rows are of one topic; it fetches
    `page_rows` of them at once.
    """
    began = time.perf_counter()
    pages: queue.Queue[list[tuple[Any, ...]] | None] = queue.Queue(2)
    threading.Thread(target=_fetch, args=(settings, pages)).start()
    failures: list[KafkaError] = []

    def failed(error: KafkaError | None, _: Message) -> None:
        if error is not None:
            failures.append(error)

    producer = Producer({**BEST, **settings.kafka, "bootstrap.servers": settings.kafka_brokers, "on_delivery": failed})
    produce, headers_of, count = producer.produce, envelope(settings.headers, settings.source), 0
    while page := pages.get():
        topic = settings.topics[page[0][3]].name
        for row in page:
            produce(topic, row[6], row[4], headers=headers_of(row))
        count += len(page)
        producer.poll(0)
    producer.flush()
    assert not failures, failures[0]
    return count, time.perf_counter() - began


def _fetch(settings: Settings, pages: "queue.Queue[list[tuple[Any, ...]] | None]") -> None:
    with psycopg.connect(settings.database_url) as connection, connection.cursor("all", binary=True) as cursor:
        cursor.execute(FETCH)
        while rows := cursor.fetchmany(settings.page_rows):
            pages.put(rows)
    pages.put(None)


def peak_bytes() -> int:
    """Return the peak of this process's resident memory, in bytes.

    Linux's getrusage counts the memory of the parent too, until the program was loaded (`exec_mmap` in fs/exec.c); its
    own is in /proc (proc(5), VmHWM). macOS, where there is no /proc, counts ru_maxrss in bytes (getrusage(2)).
    """
    if Path("/proc/self/status").exists():
        found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
        assert found is not None
        return int(found[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def main() -> None:
    """Do what the argument says and report."""
    settings = load(os.environ)
    before = resource.getrusage(resource.RUSAGE_SELF)
    messages, seconds = {"drain": drain, "bare": bare_loop}[sys.argv[1]](settings)
    used = resource.getrusage(resource.RUSAGE_SELF)
    report = {
        "messages": messages,
        "seconds": seconds,
        "ended": time.time(),
        "cpu_seconds": used.ru_utime + used.ru_stime - before.ru_utime - before.ru_stime,
        "peak_bytes": peak_bytes(),
    }
    print(json.dumps(report))  # noqa: T201 - its answer to the parent


if __name__ == "__main__":
    main()
