"""Who takes part when all of Edu Matrix runs on one machine: the commands, in their order, and what each is told.

They are the commands that an operator would type, with nothing hidden; only what is done once, before them, is done in
this process, which spares a newcomer the start of five. Every process is guarded: it ends with the
program that started it, even when that is killed.
"""

import http.client
import os
import secrets
import signal
import socket
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from app_integration.contracts.command import SETTINGS
from app_integration.example import migrate
from app_integration.realtime import migrate as realtime_migrate
from app_integration.workers import migrate as worker_migrate
from relay import migrate as relay_migrate
from relay.configuration import loading
from relay.errors import UserMistake, WorkFailed
from relay.local.process import Process, await_answer, free_port, last_lines
from relay.local.services import Services
from relay.publishing import topics

OURS = ("RELAY_", "DATABASE_URL", "KAFKA_BROKERS", "PG", "WORKER_", "SMTP_", "REALTIME_", "EDU_MATRIX_", "JWT_SECRET")
"""What the user has set for other servers; none of it reaches the cast."""

EDU = (sys.executable, "-m", "app_integration")
RELAY = (sys.executable, "-m", "relay")

WORKERS = ("email", "notification", "analytics", "audit", "integrations")

START_SECONDS = 120.0
"""Of a server to answer: a dozen programs start at once, perhaps on two cores."""

GOODBYE_SECONDS = 15.0
"""For what is in hand to be finished; the longest promise is the relay's, 10 s."""


@dataclass(frozen=True, slots=True)
class Ports:
    """Of 127.0.0.1."""

    page: int
    smtp: int
    mails: int
    real_time: int

    @classmethod
    def choose(cls, page: int) -> "Ports":
        """Take free ones; for the page the one that is wished for, unless that is 0.

        Raises:
            UserMistake: that one cannot be had.
        """
        try:
            socket.create_server(("127.0.0.1", page)).close()
        except (OSError, OverflowError) as error:
            why = os.strerror(error.errno) if isinstance(error, OSError) and error.errno else error
            text = f"port {page} of 127.0.0.1 cannot be had: {why}; choose another: make example PORT=8080"
            raise UserMistake(text) from None
        return cls(page or free_port(), free_port(), free_port(), free_port())


def environment(running: Services, ports: Ports, environ: Mapping[str, str]) -> dict[str, str]:
    """Return what everybody is told; the secret is a new one each time."""
    kept = {name: value for name, value in environ.items() if not name.startswith(OURS)}
    return {
        **kept,
        "DATABASE_URL": running.database_url,
        "KAFKA_BROKERS": running.kafka_brokers,
        "RELAY_CONFIG": str(SETTINGS),
        "RELAY_NAME": "relay",
        "JWT_SECRET": secrets.token_urlsafe(48),
        "EDU_MATRIX_PAGE": "1",
        "SMTP_HOST": "127.0.0.1",
        "SMTP_PORT": str(ports.smtp),
        "SMTP_SECURITY": "none",
        "SMTP_FROM": "Edu Matrix <mail@edu-matrix.example>",
        "WORKER_CONTRACTS": "app_integration.example.events",
        "REALTIME_ORIGINS": f"http://127.0.0.1:{ports.page},http://localhost:{ports.page}",
    }


def prepare(running: Services) -> None:
    """Make the tables and the topics, as `migrate` of each and `relay topics --create` do.

    Raises:
        RelayError: that cannot be done; the text says why.
    """
    relay_migrate.upgrade(running.database_url)
    migrate.upgrade(running.database_url)
    worker_migrate.upgrade(running.database_url)
    realtime_migrate.upgrade(running.database_url)
    known = {"KAFKA_BROKERS": running.kafka_brokers}
    topics.create(loading.load(known, config_file=SETTINGS, needs=("kafka_brokers",)))


class Actor:
    """A program that runs until it is told to stop."""

    def __init__(self, name: str, command: Sequence[str], folder: Path, variables: Mapping[str, str]) -> None:
        self.name = name
        self.log = folder / f"{name}.log"
        self.process = Process(command, self.log, directory=Path.cwd(), environment=variables)


class Cast:
    """All who run, on servers that are there.

    Args:
        folder: of their logs.
        variables: their environment.
        ports: where those listen that do.
    """

    def __init__(self, folder: Path, variables: Mapping[str, str], ports: Ports) -> None:
        self._folder, self._variables, self._ports = folder, variables, ports
        self._actors: list[Actor] = []

    def enter(self) -> None:
        """Start everybody, and return when those who listen answer.

        Raises:
            ServiceUnavailable: one does not; the text has its last words.
        """
        ports = self._ports
        listening = {
            "mailbox": (ports.mails, "/mails", ("--smtp-port", str(ports.smtp), "--port", str(ports.mails))),
            "page": (ports.page, "/api/health", ("--port", str(ports.page))),
            "realtime": (ports.real_time, "/readyz", ("--port", str(ports.real_time))),
        }
        commands = {"mailbox": ("example", "mailbox"), "page": ("example", "serve"), "realtime": ("realtime",)}
        servers = [
            (self._start(name, (*EDU, *commands[name], *options)), port, path)
            for name, (port, path, options) in listening.items()
        ]
        self._start("relay", (*RELAY, "run"))
        for name in WORKERS:
            self._start(f"worker-{name}", (*EDU, "worker", name))
        for actor, port, path in servers:
            await_answer(actor.process, actor.log, START_SECONDS, partial(_answers, port, path))

    def _start(self, name: str, command: Sequence[str]) -> Actor:
        actor = Actor(name, command, self._folder, self._variables)
        self._actors.append(actor)
        return actor

    def demand_all(self) -> None:
        """Look whether all still run.

        Raises:
            WorkFailed: one has ended by itself; the text has its last words.
        """
        for actor in self._actors:
            if not actor.process.running:
                raise WorkFailed(f"{actor.name} ended by itself; its last words:\n{last_lines(actor.log)}")

    def leave(self) -> None:
        """Ask all to stop, and wait until they have."""
        for actor in self._actors:
            actor.process.send(signal.SIGTERM)
        while self._actors:
            self._actors.pop().process.end(signal.SIGTERM, GOODBYE_SECONDS)


def _answers(port: int, path: str) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def own_environment(running: Services, ports: Ports) -> dict[str, str]:
    """Return `environment` made of this process's own."""
    return environment(running, ports, os.environ)
