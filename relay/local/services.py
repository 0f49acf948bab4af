"""Which PostgreSQL and Kafka to use: those that somebody named, else throwaway ones started here."""

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
def services(directory: Path, database_url: str = "", kafka_brokers: str = "") -> Iterator[Services]:
    """Give a PostgreSQL and a Kafka, and stop those that were started for it.

    Args:
        directory: Where the servers that have to be started keep their files.
        database_url: The PostgreSQL that there is, if there is one.
        kafka_brokers: The Kafka that there is, if there is one.

    Yields:
        The addresses given, or those of throwaway servers.

    Raises:
        ServiceUnavailable: A server is needed and cannot be had; the text says what to install.
    """
    with ExitStack() as started:
        yield Services(
            database_url or started.enter_context(Postgres(directory / "postgres")).url(),
            kafka_brokers or started.enter_context(Kafka(directory / "kafka")).brokers,
        )
