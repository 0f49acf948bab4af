"""Where a benchmark works: databases and topics that did not exist before and are gone afterwards."""

import json
import os
import uuid
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, LiteralString

import psycopg
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from relay import migrate
from relay.connection import PINNED, first_line, where
from relay.local.database import drop_databases, own_database

LOGICAL = "bench"
"""The logical topic of every message that a benchmark enqueues; each run routes it to a topic of its own."""

FILL: LiteralString = """
-- fill: payloads like JSON of short texts, half of them names that repeat and half digits that nothing compresses
insert into outbox.message (topic, key, type, payload)
select %(topic)s, (n %% %(keys)s)::text, 'bench.filled', convert_to(left(text, %(size)s), 'UTF8')
from generate_series(1, %(count)s) as n
cross join lateral (
    select string_agg('"customer_name": "' || md5(concat(n, '-', part)) || '", "a": ', '') as text
    from generate_series(0, %(size)s / 58) as part
) as made
"""

FORGET: LiteralString = """
-- forget: as if nothing had ever been sent; only for an outbox without a relay
delete from outbox.checkpoint where batch > 0
"""

MAY_CHECKPOINT: LiteralString = """
-- may_checkpoint: before PostgreSQL 15 only a superuser may; there is no role pg_checkpoint
select role.rolsuper or coalesce((
    select pg_has_role(current_user, given.oid, 'usage') from pg_roles as given where given.rolname = 'pg_checkpoint'
), false)
from pg_roles as role where role.rolname = current_user
"""


@dataclass(frozen=True)
class Ground:
    """The two servers, and a folder for settings files that is nobody else's."""

    server_url: str
    brokers: str
    folder: Path
    kafka: Mapping[str, str] = field(default_factory=dict)
    """The librdkafka properties that reach Kafka, such as those of TLS and SASL."""
    mark: str = field(default_factory=lambda: uuid.uuid4().hex[:8])
    """Stands in the name of every database and topic that is made here, and in no other's."""
    _filled: dict[int, str] = field(default_factory=dict)
    """The databases with so many messages that others are copied from: enqueuing a million takes a quarter of a minute,
    copying them a second."""

    @contextmanager
    def outbox(self, filled: int = 0) -> "Iterator[Outbox]":
        """Give a database with an outbox, dropped at the end.

        Args:
            filled: how many messages of 300 bytes and 1,000 keys are in it.
        """
        with ExitStack() as stack:
            template = self._template(filled) if filled else "template0"
            url = own_database(self.server_url, self._new_name(), stack, template)
            if not filled:
                migrate.upgrade(url, roles=False)
            outbox = Outbox(self, url)
            with outbox.connect() as connection:
                settle(connection)
            yield outbox

    def _template(self, count: int) -> str:
        """Return a database with so many messages; it stays until `sweep`."""
        if count not in self._filled:
            with ExitStack() as stack:
                name = self._new_name()
                url = own_database(self.server_url, name, stack)
                migrate.upgrade(url, roles=False)
                Outbox(self, url).fill(count)
                stack.pop_all()
            self._filled[count] = name
        return self._filled[count]

    def _new_name(self) -> str:
        return f"{self._databases}{uuid.uuid4().hex[:8]}"

    @contextmanager
    def topic(self, partitions: int = 4, config: Mapping[str, str] | None = None) -> Iterator[str]:
        """Give a topic in Kafka, deleted at the end, and its files soon after."""
        with self.topics(1, partitions, config) as (name,):
            yield name

    @contextmanager
    def topics(self, count: int, partitions: int = 4, config: Mapping[str, str] | None = None) -> Iterator[list[str]]:
        """Give several topics at once.

        Args:
            count: how many.
            partitions: of each.
            config: Kafka's settings of each, such as `max.message.bytes`.
        """
        names = [f"{self._topics}{uuid.uuid4().hex[:8]}" for _ in range(count)]
        client = self._admin()
        settings = {"file.delete.delay.ms": "1000", **(config or {})}
        wanted = [NewTopic(name, partitions, config=settings) for name in names]
        try:
            for made in client.create_topics(wanted, operation_timeout=30).values():
                made.result(60)
            yield names
        finally:
            for gone in client.delete_topics(names, operation_timeout=30).values():
                with suppress(KafkaException):  # it was never made, or the broker is gone and the topics with it
                    gone.result(60)

    def sweep(self) -> list[str]:
        """Remove what is still there of what was made here, when an interruption cut its removal short.

        Returns:
            What could not be removed, in words; nothing as a rule.
        """
        left = []
        try:
            drop_databases(self.server_url, self._databases)
        except psycopg.Error as error:
            left.append(f"databases {self._databases}* at {where(self.server_url)}: {first_line(error)}")
        try:
            self._delete_topics()
        except KafkaException as error:
            left.append(f"topics {self._topics}* at {self.brokers}: {error.args[0].str()}")
        return left

    def _delete_topics(self) -> None:
        client = self._admin()
        there = [name for name in client.list_topics(timeout=10).topics if name.startswith(self._topics)]
        # Asked for none, the client refuses.
        for gone in client.delete_topics(there, operation_timeout=30).values() if there else ():
            gone.result(60)

    def _admin(self) -> AdminClient:
        return AdminClient({"log_level": 2, **self.kafka, "bootstrap.servers": self.brokers})

    @property
    def _databases(self) -> str:
        return f"relay_bench_{self.mark}_"

    @property
    def _topics(self) -> str:
        return f"relay-bench-{self.mark}-"


@dataclass(frozen=True)
class Outbox:
    """A throwaway outbox, and what is needed to let a relay work on it."""

    ground: Ground
    database_url: str

    def connect(self) -> "psycopg.Connection":
        """Open a session as an application would, in autocommit, whose commits are on disk when they return."""
        connection = psycopg.connect(self.database_url, autocommit=True, application_name="relay-bench")
        connection.execute(f"set synchronous_commit = {PINNED['synchronous_commit']}")
        return connection

    def fill(self, count: int, *, size: int = 300, keys: int = 1000, topic: str = LOGICAL) -> None:
        """Enqueue messages of `size` bytes in one transaction, and let the table settle."""
        with self.connect() as connection:
            connection.execute(FILL, {"topic": topic, "keys": keys, "size": size, "count": count})
            settle(connection)

    def forget(self) -> None:
        """Make every message unsent again, so that one backlog serves several drains. No relay may be running."""
        with self.connect() as connection:
            connection.execute(FORGET)
            settle(connection)

    def environment(self, routes: Mapping[str, str], **settings: Any) -> dict[str, str]:
        """Return the environment of a relay on this outbox.

        Args:
            routes: the topic in Kafka of each logical topic.
            settings: keys of `[relay]`, and `kafka`, a mapping of librdkafka properties.
        """
        config = self.ground.folder / f"{uuid.uuid4().hex[:12]}.toml"
        # What Kafka asks for may hold a password: the folder is this user's alone, and goes with the benchmark.
        config.write_text(_toml({**self.ground.kafka, **settings.pop("kafka", {})}, settings, routes))
        kept = {name: value for name, value in os.environ.items() if not name.startswith("RELAY_")}
        return {
            **kept,
            "DATABASE_URL": self.database_url,
            "KAFKA_BROKERS": self.ground.brokers,
            "RELAY_CONFIG": str(config),
        }


def settle(connection: "psycopg.Connection") -> None:
    """Leave nothing for PostgreSQL to do that an earlier load brought about."""
    connection.execute("vacuum (analyze, skip_locked) outbox.message")
    if connection.execute(MAY_CHECKPOINT).fetchone() == (True,):
        connection.execute("checkpoint")


def _toml(kafka: Mapping[str, str], settings: Mapping[str, Any], routes: Mapping[str, str]) -> str:
    """Write a settings file. JSON's texts, numbers and booleans are TOML's too."""
    lines = ["[relay]", *(f"{name} = {json.dumps(value)}" for name, value in settings.items())]
    lines += ["[kafka]", *(f"{json.dumps(name)} = {json.dumps(value)}" for name, value in kafka.items())]
    for logical, name in routes.items():
        lines += [f"[topics.{json.dumps(logical)}]", f"name = {json.dumps(name)}"]
    return "\n".join(lines)
