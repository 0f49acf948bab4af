"""How fast a relay is there, and how fast it is gone: from its start to the first message, from SIGTERM to its end.

A message waits for each start, and the relay is a new process each time. It is stopped in the middle of a drain, each
time further down the same backlog; what is left is drained at the end, and all of it must have reached Kafka.
"""

import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping

from confluent_kafka import Consumer, TopicPartition

from relay.bench import child
from relay.bench.arrivals import PATIENCE, consumer, consuming, partitions, payload
from relay.bench.departures import ENQUEUE
from relay.bench.figure import Figure, at_most
from relay.bench.ground import LOGICAL, Ground, Outbox
from relay.bench.part import Say
from relay.bench.scale import Scale
from relay.errors import WorkFailed

BACKLOG = 80_000
"""Messages for each stop: a relay is stopped when a quarter of them has reached Kafka."""

REPEATED = 2
"""Starts and stops in each run: they are short."""


def measure(ground: Ground, scale: Scale, say: Say) -> Iterator[Figure]:
    """Start relays, then stop some in the middle of a drain."""
    yield _starts(ground, REPEATED * scale.runs, say)
    yield from _stops(ground, min(BACKLOG, scale.rows), REPEATED * scale.runs, say)


def _starts(ground: Ground, runs: int, say: Say) -> Figure:
    """Compare a start with that of an interpreter that only imports the relay."""
    started, imported = [], []
    with ground.outbox() as outbox, ground.topic() as topic:
        environment = outbox.environment({LOGICAL: topic})
        for run in range(1, runs + 1):
            say(f"start, run {run} of {runs}: from the process to the first message")
            started.append(_to_first_message(outbox, environment))
            imported.append(_to_import(environment))
    return Figure(
        "start",
        "from the start of the process to the first message at the consumer",
        statistics.median(started),
        "s",
        statistics.median(imported),
        "an interpreter that only imports relay.daemon",
        at_most(1.0),
        tuple(started),
    )


def _to_first_message(outbox: Outbox, environment: Mapping[str, str]) -> float:
    with outbox.connect() as connection, consuming(environment, 1) as coming:
        connection.execute(ENQUEUE, {"topic": LOGICAL, "key": "0", "payload": payload(0)})
        began = time.monotonic()
        with child.relay(environment, outbox.ground.folder):
            return coming.all().at[0] - began


def _to_import(environment: Mapping[str, str]) -> float:
    began = time.monotonic()
    subprocess.run([sys.executable, "-c", "import relay.daemon"], env=environment, check=True)
    return time.monotonic() - began


def _stops(ground: Ground, each: int, runs: int, say: Say) -> Iterator[Figure]:
    """Stop a relay in the middle of a drain, several times, and count what reached Kafka in the end."""
    count = each * runs
    with ground.outbox() as outbox, ground.topic() as topic:
        say(f"stop: enqueuing {count:,} messages")
        outbox.fill(count)
        environment = outbox.environment({LOGICAL: topic})
        reader = consumer(ground.kafka, ground.brokers)
        stopped = []
        for run in range(1, runs + 1):
            say(f"stop, run {run} of {runs}: SIGTERM in the middle of a drain")
            stopped.append(_to_end(outbox, environment, reader, topic, each // 4))
        say("stop: draining what is left, and counting")
        left = child.drain(environment).messages
        found, in_all = _distinct(reader, topic)
        reader.close()
    yield Figure(
        "start",
        "from SIGTERM to the end of the process, in the middle of a drain",
        statistics.median(stopped),
        "s",
        goal=at_most(2.0),
        runs=tuple(stopped),
        note=f"{left:,} of {count:,} messages were left" if left else "the backlog was gone before the last SIGTERM",
    )
    yield Figure(
        "start",
        "messages lost by those stops",
        count - found,
        "messages",
        goal=at_most(0),
        note=f"{found:,} of {count:,} reached Kafka when the rest was drained, {in_all - found:,} of them repeated",
    )


def _to_end(outbox: Outbox, environment: Mapping[str, str], reader: Consumer, topic: str, enough: int) -> float:
    """Start a relay, stop it when it has sent enough, and return the seconds that its end took."""
    aim = _written(reader, topic) + enough
    with child.relay(environment, outbox.ground.folder):
        deadline = time.monotonic() + PATIENCE
        while _written(reader, topic) < aim:
            if time.monotonic() > deadline:
                raise WorkFailed(f"a relay did not send {enough} messages of a backlog within {PATIENCE:g} s")
        began = time.monotonic()
    return time.monotonic() - began


def _written(reader: Consumer, topic: str) -> int:
    """Return how many messages a topic holds."""
    return sum(partition.offset for partition in partitions(reader, topic))


def _distinct(reader: Consumer, topic: str) -> tuple[int, int]:
    """Return how many different messages a topic holds, by their identity, and how many in all."""
    ends = partitions(reader, topic)
    in_all, count, ids = sum(end.offset for end in ends), 0, set()
    reader.assign([TopicPartition(end.topic, end.partition, 0) for end in ends])
    while count < in_all:
        messages = reader.consume(10_000, PATIENCE)
        if not messages:
            raise WorkFailed(f"kafka gave {count} of {in_all} messages back")
        for message in messages:
            ids.add(dict(message.headers() or [])["ce_id"])
        count += len(messages)
    return len(ids), in_all
