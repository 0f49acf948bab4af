"""How fast a backlog drains, against the best loop that records nothing: `python -m bench.drain --rows 300000`.

Both read the same table and write the same bytes to Kafka with the same producer settings and headers. The bare loop
scans the table with a binary cursor on a thread of its own and produces; it keeps no order across transactions,
survives nothing and marks nothing. Runs alternate, so that a drift of the machine meets both; the figure is the ratio
of the medians.
"""

import argparse
import os
import queue
import resource
import statistics
import threading
import time

import psycopg

from bench.services import place
from relay import daemon, events
from relay.envelope import envelope
from relay.producer import make
from relay.settings import load

FETCH = """
-- fetch_all
select shard, seq, id::text, topic, key, type, payload, content_type, headers::text, to_json(created_at)::text, 0
from outbox.message
"""


def bare_loop(database_url: str, brokers: str, topic: str) -> float:
    """Send every row of the outbox and record nothing; return messages a second."""
    began = time.perf_counter()
    pages: queue.Queue[list[tuple[object, ...]] | None] = queue.Queue(2)

    def fetch() -> None:
        with psycopg.connect(database_url) as connection, connection.cursor("all", binary=True) as cursor:
            cursor.execute(FETCH)
            while rows := cursor.fetchmany(10_000):
                pages.put(rows)
        pages.put(None)

    threading.Thread(target=fetch).start()
    failures: list[object] = []
    producer = make({"bootstrap.servers": brokers}, failures.append)
    headers_of, produce, count = envelope("cloudevents", "/outbox"), producer.produce, 0
    while page := pages.get():
        for row in page:
            produce(topic, row[6], row[4], headers=headers_of(row))  # type: ignore[arg-type]
        count += len(page)
        producer.poll(0)
    producer.flush()
    assert not failures, failures[0]
    return count / (time.perf_counter() - began)


def relay_drain() -> float:
    """Drain the outbox of the environment; return messages a second, from joining to the last checkpoint."""
    joined: list[float] = []

    def tell(event: events.Event) -> None:
        if isinstance(event, events.Started):
            joined.append(time.perf_counter())

    return daemon.drain(load(os.environ), tell=tell) / (time.perf_counter() - joined[0])


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=300_000)
    parser.add_argument("--size", type=int, default=300, help="bytes of payload")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--inside", choices=["bare", "relay"], help=argparse.SUPPRESS)
    parser.add_argument("--topic", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.inside == "bare":
        print(bare_loop(os.environ["DATABASE_URL"], os.environ["KAFKA_BROKERS"], options.topic))
    elif options.inside == "relay":
        print(relay_drain())
    else:
        compare(options.rows, options.size, options.runs)


def compare(rows: int, size: int, runs: int) -> None:
    """Run both in turn, each in a process of its own, and print the rates and their ratio."""
    rates: dict[str, list[float]] = {"bare": [], "relay": []}
    for run in range(1, runs + 1):
        with place() as at:
            topic = at.topic()
            at.fill(topic, rows, size=size)
            for inside, rate in rates.items():
                began = resource.getrusage(resource.RUSAGE_CHILDREN)
                rate.append(float(at.python("-m", "bench.drain", "--inside", inside, "--topic", topic)))
                ended = resource.getrusage(resource.RUSAGE_CHILDREN)
                cpu = (ended.ru_utime + ended.ru_stime - began.ru_utime - began.ru_stime) / rows * 1e6
                print(f"run {run}: {inside:5} {rate[-1]:9,.0f} messages/s, {cpu:.1f} µs of CPU a message")
    print(f"relay / bare, medians: {statistics.median(rates['relay']) / statistics.median(rates['bare']):.2f}")


if __name__ == "__main__":
    main()
