"""What every benchmark starts from: a throwaway database with an outbox, topics of its own, processes to measure."""

import os
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from relay import migrate
from relay.connection import PINNED
from relay.local.services import services


@dataclass(frozen=True)
class Place:
    """Where a benchmark works: nothing in it existed before, nothing of it is left behind."""

    database_url: str
    brokers: str

    def topic(self, partitions: int = 4) -> str:
        """Make a topic and return its name."""
        name = f"bench-{uuid.uuid4().hex[:12]}"
        client = AdminClient({"bootstrap.servers": self.brokers})
        for made in client.create_topics([NewTopic(name, partitions, 1)]).values():
            made.result(30)
        return name

    def environment(self, settings: Mapping[str, str]) -> dict[str, str]:
        """Return the environment of a relay with some settings."""
        return {
            **{name: value for name, value in os.environ.items() if not name.startswith("RELAY_")},
            "DATABASE_URL": self.database_url,
            "KAFKA_BROKERS": self.brokers,
            **settings,
        }

    def python(self, *arguments: str, **settings: str) -> str:
        """Run Python with this place as its environment; return what it printed."""
        return subprocess.check_output([sys.executable, *arguments], env=self.environment(settings), text=True)

    @contextmanager
    def relay(self, *command: str, **settings: str) -> "Iterator[subprocess.Popen[bytes]]":
        """Run a relay command while the context lasts, and end it with SIGTERM."""
        process = subprocess.Popen(
            [sys.executable, "-m", "relay", *command],
            env=self.environment(settings),
            stdout=subprocess.DEVNULL,
        )
        try:
            yield process
        finally:
            process.terminate()
            process.wait(20)

    def connect(self) -> "psycopg.Connection":
        """Open a session with the settings of an application, but committing synchronously as the relay does."""
        connection = psycopg.connect(self.database_url, autocommit=True)
        connection.execute(f"set synchronous_commit = {PINNED['synchronous_commit']}")
        return connection

    def fill(self, topic: str, count: int, *, size: int = 300, keys: int = 1000) -> None:
        """Enqueue messages of `size` bytes in one transaction, and let the table settle."""
        with self.connect() as connection:
            connection.execute(
                "insert into outbox.message (topic, key, type, payload) "
                "select %s, (n %% %s)::text, 'bench.filled', convert_to(repeat('x', %s), 'UTF8') "
                "from generate_series(1, %s) as n",
                (topic, keys, size, count),
            )
            connection.execute("vacuum analyze outbox.message")
            connection.execute("checkpoint")


@contextmanager
def place() -> Iterator[Place]:
    """Make a throwaway database on the configured or a local PostgreSQL, beside a configured or local Kafka."""
    with tempfile.TemporaryDirectory(prefix="outbox-bench-") as folder, services(Path(folder)) as given:
        name = f"bench_{uuid.uuid4().hex[:12]}"
        with psycopg.connect(given.database_url, autocommit=True) as connection:
            connection.execute(f"create database {name}")
        try:
            url = urlsplit(given.database_url)._replace(path=f"/{name}").geturl()
            migrate.upgrade(url)
            yield Place(url, given.kafka_brokers)
        finally:
            with suppress(psycopg.Error), psycopg.connect(given.database_url, autocommit=True) as connection:
                connection.execute(f"drop database {name} with (force)")
