"""The system whole: servers of its own, two of everything that there may be two of, and the folder of its notes."""

import signal
import socket
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import psycopg

from app_integration.example.cast import Ports, own_environment, prepare
from app_integration.workers.integrations import endpoints
from relay import locks
from relay.local.kafka import Kafka
from relay.local.postgres import Postgres
from relay.local.process import free_port
from relay.local.services import Services
from tests.endtoend.mail_server import PATIENCE
from tests.endtoend.notes import Notes
from tests.endtoend.plan import DATABASE, MAIL
from tests.endtoend.seat import Role, Seat
from tests.endtoend.talkers import ROOM
from tests.faults.world import wait_until

EDU = ("app_integration",)
READY_SECONDS = 600.0

SPEAKERS, LISTENERS = ("speaker-1", "speaker-2", "speaker-3"), ("listener-1", "listener-2")

SESSIONS = """
-- sessions_of
select count(*) from pg_stat_activity where application_name = %s
"""

ADMIT = """
-- admit_all
select realtime.admit(%s, who) from unnest(%s::text[]) as who
"""

CONSUMERS: Mapping[str, str] = {
    "email": "email-queue",
    "notification": "notification-queue",
    "analytics": "analytics-events",
    "audit": "audit-logs",
    "integrations": "business-events",
}
"""Each worker, with the topic that it acts on."""


@dataclass(frozen=True, slots=True)
class Stage:
    """Everything that can be struck, and where the notes are."""

    folder: Path
    postgres: Postgres
    kafka: Kafka
    seats: Mapping[str, Seat]
    applications: Sequence[str]
    """Addresses of the application."""
    real_time: Sequence[str]
    """Addresses of the real-time servers."""
    secret: str
    deaths: Notes

    def ask(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        """Ask the database."""
        with psycopg.connect(self.postgres.url(), connect_timeout=10) as connection:
            return connection.execute(query.encode(), values or None).fetchall()

    def crash_database(self, seconds: float) -> None:
        """End PostgreSQL as a power cut does, and start it again."""
        self.postgres.crash()
        self.deaths.note("killed", process=None, seat=DATABASE)
        time.sleep(seconds)
        self.postgres.start()

    def leave(self) -> dict[str, int | None]:
        """Ask all to go, the mail server last; return the exit codes."""
        seats = sorted(self.seats.values(), key=lambda seat: seat.role.kind == MAIL)
        for seat in seats[:-1]:
            seat.send(signal.SIGTERM)
        return {seat.name: seat.leave() for seat in seats}


@contextmanager
def stage(folder: Path, posted_to: str, programs: Mapping[str, Sequence[str]]) -> Iterator[Stage]:
    """Set it all up, at work, while the block lasts.

    Args:
        folder: for data, logs and notes.
        posted_to: the address of a subscriber to all business events.
        programs: what is run instead of the application's own program, by role.
    """
    with ExitStack() as running:
        postgres = running.enter_context(Postgres(folder / "postgres", settings={"max_connections": "300"}))
        kafka = running.enter_context(Kafka(folder / "kafka", properties={"auto.create.topics.enable": "false"}))
        services, ports = Services(postgres.url(), kafka.brokers), Ports.choose(0)
        prepare(services)
        with psycopg.connect(postgres.url(), autocommit=True) as connection:
            connection.execute(ADMIT.encode(), (ROOM, [*SPEAKERS, *LISTENERS]))
            endpoints.add(connection, posted_to, allow_private=True)
        variables = {
            **own_environment(services, ports),
            "SMTP_TIMEOUT_SECONDS": str(PATIENCE),
            # A killed worker's partitions go to another soon.
            "WORKER_KAFKA_SESSION_TIMEOUT_MS": "6000",
        }
        others = free_port(), free_port()
        roles = _roles(postgres, folder, ports, others, programs)
        deaths = Notes(folder / "deaths.jsonl")
        seats = {role.name: Seat(role, folder, variables, deaths) for role in roles}
        for seat in seats.values():
            running.callback(seat.close)
            seat.start()
        for seat in seats.values():
            wait_until(seat.role.ready, READY_SECONDS, seat.last_words)
        yield Stage(
            folder,
            postgres,
            kafka,
            seats,
            _addresses(ports.page, others[0]),
            _addresses(ports.real_time, others[1]),
            variables["JWT_SECRET"],
            deaths,
        )


def _roles(
    postgres: Postgres, folder: Path, ports: Ports, others: tuple[int, int], programs: Mapping[str, Sequence[str]]
) -> list[Role]:
    def worker(name: str, instances: int = 1) -> list[Role]:
        kind = f"{name} worker"
        names = [kind] if instances == 1 else [f"{kind} one", f"{kind} two"]
        ready = partial(_sessions, postgres, f"worker {name}", instances)
        return [Role(each, programs.get(kind, EDU), ("worker", name), ready) for each in names]

    def served(name: str, command: Sequence[str], port: int) -> Role:
        return Role(name, EDU, (*command, "--port", str(port)), partial(listens, port))

    def relay(name: str) -> Role:
        seated = locks.application_name(f"relay-{name}")
        return Role(f"relay {name}", ("relay",), ("run", "--wait", "120"), partial(_sessions, postgres, seated, 1))

    mails = (str(ports.smtp), str(folder / "mails.jsonl"))
    return [
        relay("one"),
        relay("two"),
        *worker("email", 2),
        *(role for name in ("notification", "analytics", "audit", "integrations") for role in worker(name)),
        served("application one", ("example", "serve"), ports.page),
        served("application two", ("example", "serve"), others[0]),
        served("real-time server one", ("realtime",), ports.real_time),
        served("real-time server two", ("realtime",), others[1]),
        Role(MAIL, ("tests.endtoend.mail_server",), mails, partial(listens, ports.smtp)),
    ]


def _addresses(*ports: int) -> tuple[str, ...]:
    return tuple(f"http://127.0.0.1:{port}" for port in ports)


def listens(port: int) -> bool:
    """Whether somebody listens at a port of this machine."""
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True


def _sessions(postgres: Postgres, name: str, least: int) -> bool:
    try:
        with psycopg.connect(postgres.url(), connect_timeout=5) as connection:
            row = connection.execute(SESSIONS.encode(), (name,)).fetchone()
    except psycopg.OperationalError:
        return False
    return row is not None and row[0] >= least
