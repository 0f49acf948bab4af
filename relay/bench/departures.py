"""A steady load: `python -m relay.bench.departures outbox|direct RATE COUNT`, a process of its own, and its answer.

Messages are due one after the other at even distances, and are committed in a transaction each, either to the outbox
or to a table that no relay reads; then the process hands them to Kafka itself, right after the commit. The schedule
does not wait for anything: what is late is sent at once, and the answer tells how late.
Several sessions share a rate that one alone could not hold, for a commit waits until it is on disk.
"""

import gc
import math
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, LiteralString

import psycopg
from confluent_kafka import Producer
from psycopg import pq

from relay.bench.arrivals import consuming, payload
from relay.bench.aside import aside, say_answer, say_ready
from relay.configuration.loading import load
from relay.configuration.settings import Settings
from relay.connection import PINNED, pin
from relay.errors import DatabaseUnreachable

ENQUEUE = """
-- enqueue_timed
insert into outbox.message (topic, key, type, payload) values (%(topic)s, %(key)s, 'bench.timed', %(payload)s)
"""

PREPARE: dict[str, LiteralString] = {
    "outbox": """
-- prepare_timed
prepare timed (text, text, bytea) as
insert into outbox.message (topic, key, type, payload) values ($1, $2, 'bench.timed', $3)
""",
    "direct": """
-- prepare_timed_direct
prepare timed (text, text, bytea) as
insert into public.direct (topic, key, type, payload) values ($1, $2, 'bench.timed', $3)
""",
}

CREATE_DIRECT = """
-- create_direct: a domain table of the application, say
create table if not exists public.direct (
    number bigint generated always as identity primary key, topic text, key text, type text, payload bytea
)
"""

BEGIN = """
-- begin_timed: a transaction up to just before its COMMIT, in one round trip
begin; execute timed ('{topic}', '{key}', '{payload}')
"""

COMMIT = b"-- commit_timed\ncommit"

KEYS = 1000
"""Of the messages, in turn."""

RATE_OF_A_SESSION = 250
"""Transactions a second that one session holds easily: each takes two round trips and a flush to disk."""

DIRECT: dict[str, Any] = {
    "linger.ms": 0,
    "acks": "all",
    "enable.idempotence": True,
    "partitioner": "murmur2_random",
    "log_level": 2,
}
"""How a message goes to Kafka as fast as it can with the promises that a relay gives; without headers."""


@dataclass(frozen=True, slots=True)
class Departures:
    """A steady load that was sent, by the messages' numbers from 0; instants by the monotonic clock, in seconds."""

    due: Sequence[float]
    at: Sequence[float]
    """Just before COMMIT was sent."""
    returned: Sequence[float]
    """When it came back."""

    @property
    def lateness(self) -> list[float]:
        """The seconds between when each message was due and when it left."""
        return [at - due for at, due in zip(self.at, self.due, strict=True)]


How = Literal["outbox", "direct"]


def leave(how: How, environment: Mapping[str, str], rate: float, count: int) -> Departures:
    """Send a steady load from a process of its own.

    Args:
        how: through the outbox, or directly to the topic in Kafka once it is committed.
        environment: as of a relay, with a route for one logical topic.
        rate: messages a second.
        count: how many.

    Raises:
        WorkFailed: a server does not answer.
    """
    with aside("relay.bench.departures", environment, how, rate, count) as beside:
        due, at, returned = zip(*beside.answer(), strict=True)
        return Departures(due, at, returned)


def first_message(environment: Mapping[str, str]) -> None:
    """Send one message through the outbox and wait until it comes: then the relay is there, and has connected.

    Args:
        environment: as of that relay, with a route for one logical topic.

    Raises:
        WorkFailed: a server does not answer, or the message does not come.
    """
    with consuming(environment, 1) as coming:
        leave("outbox", environment, 1, 1)
        coming.all()


Instants = tuple[float, float, float]
"""When a message was due, when it left, and when the call came back."""


def _steadily(
    act: Callable[[int], tuple[float, float]], began: float, rate: float, numbers: range, found: list[Instants]
) -> None:
    """Call `act` for each number when it is due."""
    for number in numbers:
        due = began + number / rate
        time.sleep(max(0.0, due - time.monotonic()))
        found[number] = due, *act(number)


Next = Callable[[int], None]
"""What is done with a message right after its commit."""


def through_outbox(settings: Settings, rate: float, count: int) -> list[Instants]:
    """Commit each message to the outbox, and leave the rest to the relay."""
    return _commit_all("outbox", settings, rate, count, lambda _: None)


def direct(settings: Settings, rate: float, count: int) -> list[Instants]:
    """Commit each message to a table, then hand it to a producer: what an application does that has no outbox."""
    producer = Producer({**settings.kafka, **DIRECT, "bootstrap.servers": settings.kafka_brokers})
    (topic,) = settings.topics.values()

    def produce(number: int) -> None:
        producer.produce(topic.name, payload(number), str(number % KEYS))
        producer.poll(0)

    with psycopg.connect(settings.database_url, autocommit=True) as connection:
        connection.execute(CREATE_DIRECT)
    found = _commit_all("direct", settings, rate, count, produce)
    producer.flush()
    return found


def _commit_all(how: How, settings: Settings, rate: float, count: int, then: Next) -> list[Instants]:
    """Commit each message in a transaction of its own, when it is due."""
    (topic,) = settings.topics
    sessions = math.ceil(rate / RATE_OF_A_SESSION)
    connections = [_session(settings.database_url, how) for _ in range(sessions)]
    found: list[Instants] = [(0.0, 0.0, 0.0)] * count
    say_ready()
    began = time.monotonic() + 0.05
    with ThreadPoolExecutor(sessions) as threads:
        shares = [
            threads.submit(
                _steadily,
                partial(_commit_one, connection.pgconn, topic, then),
                began,
                rate,
                range(place, count, sessions),
                found,
            )
            for place, connection in enumerate(connections)
        ]
    for share in shares:
        share.result()
    return found


def _session(database_url: str, how: How) -> "psycopg.Connection":
    """Open a session as an application would, whose commits are on disk when they return."""
    connection = psycopg.connect(database_url, autocommit=True, application_name="relay-bench")
    pin(connection, "synchronous_commit", PINNED["synchronous_commit"])
    connection.execute(PREPARE[how])
    return connection


def _commit_one(session: "pq.abc.PGconn", topic: str, then: Next, number: int) -> tuple[float, float]:
    """Go straight to libpq: what Python adds to a statement would be taken from those who are measured."""
    statement = BEGIN.format(topic=topic, key=number % KEYS, payload=payload(number).decode())
    _done(session.exec_(statement.encode()))
    left = time.monotonic()
    _done(session.exec_(COMMIT))
    returned = time.monotonic()
    then(number)
    return left, returned


def _done(result: "pq.abc.PGresult") -> None:
    if result.status != pq.ExecStatus.COMMAND_OK:
        raise DatabaseUnreachable(f"the database refused a timed message: {result.get_error_message()}")


def main() -> None:
    """Do what the arguments say and report."""
    settings = load(os.environ)
    how, rate, count = sys.argv[1:]
    gc.disable()  # a collection would pass for latency; the process is short
    say_answer({"outbox": through_outbox, "direct": direct}[how](settings, float(rate), int(count)))


if __name__ == "__main__":
    main()
