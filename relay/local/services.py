"""Which PostgreSQL and Kafka to use: those that the environment names, else throwaway ones started here."""

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from relay.local.kafka import Kafka
from relay.local.postgres import Postgres


@dataclass(frozen=True, slots=True)
class Services:
    """Where the two servers are."""

    database_url: str
    kafka_brokers: str


@contextmanager
def services(directory: Path) -> Iterator[Services]:
    """Give a PostgreSQL and a Kafka, and stop those that were started for it.

    Args:
        directory: Where the servers that have to be started keep their files.

    Yields:
        DATABASE_URL and KAFKA_BROKERS of the environment, or the addresses of throwaway servers.

    Raises:
        ServiceUnavailable: A server is needed and cannot be had; the text says what to install.
    """
    with ExitStack() as started:
        yield Services(
            os.environ.get("DATABASE_URL") or started.enter_context(Postgres(directory / "postgres")).url(),
            os.environ.get("KAFKA_BROKERS") or started.enter_context(Kafka(directory / "kafka")).brokers,
        )
