"""What the fixtures of `conftest` are made of: the servers' folder, and databases and topics of a test's own.

Nothing here falls back or skips: a promise is tried on a real PostgreSQL and a real Kafka, or the test fails
and says what to install.
"""

import contextlib
import fcntl
import itertools
import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from types import MappingProxyType

import psycopg
import pytest
from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined]
from psycopg import sql

from relay.local.kafka import Kafka
from relay.local.postgres import Postgres
from relay.local.process import ServiceUnavailable

REPOSITORY = Path(__file__).parents[1]
PARTITIONS = 4

_numbers = itertools.count(1)


@contextlib.contextmanager
def session_folder(cache: Path) -> Iterator[Path]:
    """A folder for all files of this run, removed after it; what killed runs have left is removed before."""
    cache.mkdir(parents=True, exist_ok=True)
    for left in cache.glob("tests-*"):
        remove_unless_in_use(left)
    # It has its name only once it is in use, or another run would take it for one that was left.
    unnamed = Path(tempfile.mkdtemp(prefix="new-tests-", dir=cache))
    unnamed.chmod(0o755)
    in_use = os.open(unnamed, os.O_RDONLY)
    # It ends with this process, however that ends.
    fcntl.flock(in_use, fcntl.LOCK_SH)
    folder = unnamed.rename(cache / f"tests-{os.getpid()}")
    try:
        yield folder
    finally:
        # In this order: let go first, it would be removed by another run at the same moment.
        shutil.rmtree(folder)
        os.close(in_use)


def remove_unless_in_use(folder: Path) -> None:
    """Remove the folder of a run that is over."""
    with contextlib.suppress(FileNotFoundError, BlockingIOError, PermissionError):
        opened = os.open(folder, os.O_RDONLY)
        try:
            fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder, ignore_errors=True)
        finally:
            os.close(opened)


def new_folder(parent: Path, name: str) -> Path:
    """Name a folder that no other server of this run has."""
    return parent / f"{name}-{next(_numbers)}"


@contextlib.contextmanager
def failing_plainly() -> Iterator[None]:
    """Let a service that cannot be had fail the test in its own words, which say what to install."""
    try:
        yield
    except ServiceUnavailable as error:
        pytest.fail(str(error), pytrace=False)


def start_postgres(
    running: ExitStack,
    folder: Path,
    binaries: Path | None,
    settings: Mapping[str, str],
    follows: Postgres | None = None,
) -> Postgres:
    """Start a PostgreSQL that ends with the stack."""
    with failing_plainly():
        return running.enter_context(Postgres(folder, binaries, settings, follows=follows))


def start_kafka(
    running: ExitStack,
    folder: Path,
    properties: Mapping[str, str] = MappingProxyType({}),
    joins: Kafka | None = None,
    host: str = "127.0.0.1",
) -> Kafka:
    """Start a Kafka that ends with the stack.

    Args:
        running: the stack.
        folder: for its files.
        properties: those of `server.properties`, above our own.
        joins: the Kafka whose second broker it becomes.
        host: the address of this machine that clients use.
    """
    with failing_plainly():
        return running.enter_context(Kafka(folder, properties=properties, joins=joins, host=host))


def create_database(server: Postgres, template: str = "template1") -> str:
    """Create a database as a copy of another, to which nobody is connected; return its name."""
    name = f"test_{next(_numbers)}"
    with psycopg.connect(server.url(), autocommit=True) as connection:
        statement = sql.SQL("create database {} template {}")
        connection.execute(statement.format(sql.Identifier(name), sql.Identifier(template)))
    return name


def drop_database(server: Postgres, name: str) -> None:
    """Drop a database, whoever is still connected to it and whatever is still prepared in it."""
    with psycopg.connect(server.url(name), autocommit=True) as connection:
        prepared = "select gid from pg_prepared_xacts where database = current_database()"
        for (gid,) in connection.execute(prepared).fetchall():
            connection.execute(sql.SQL("rollback prepared {}").format(sql.Literal(gid)))
    with psycopg.connect(server.url(), autocommit=True) as connection:
        connection.execute(sql.SQL("drop database {} with (force)").format(sql.Identifier(name)))


def create_topic(admin: AdminClient, partitions: int, config: Mapping[str, str]) -> str:
    """Create a topic; return its name, which no other test has."""
    name = f"test-{uuid.uuid4()}"
    new = NewTopic(name, num_partitions=partitions, replication_factor=1, config=dict(config))
    admin.create_topics([new])[name].result(30)
    return name


def delete_topics(admin: AdminClient, names: list[str]) -> None:
    """Delete topics, but for those that the test has deleted itself."""
    there = admin.list_topics(timeout=30).topics
    if kept := [name for name in names if name in there]:
        for deleted in admin.delete_topics(kept).values():
            deleted.result(30)
