"""What a server is told, from the environment; every mistake is told at once, by the name of its variable. Pure."""

import math
import os
import re
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, TypeVar

from app_integration.contracts.topics import KAFKA_TOPICS
from app_integration.kafka_variables import read_properties
from app_integration.tokens import load_secret
from app_integration.variables import database_url
from relay.configuration import duration
from relay.configuration.kubernetes import set_by_kubernetes
from relay.errors import SettingsError

T = TypeVar("T")

TRANSPORTS = ("websocket", "polling")

FOREVER = "forever"

KAFKA = "REALTIME_KAFKA_"
"""Begins the name of a variable that sets a property of librdkafka."""

CONSUMER: dict[str, Any] = {
    "enable.auto.commit": False,
    "isolation.level": "read_committed",
    # A server that was cut off for longer than Kafka keeps records goes on with the oldest there is.
    "auto.offset.reset": "earliest",
    "allow.auto.create.topics": False,
}
"""How the topic is read: by every server alone, whole, and only what is committed."""

PRODUCER: dict[str, Any] = {
    "linger.ms": 0,
    "acks": 1,
    # As the relay does, so that what is told of a room lies on one partition.
    "partitioner": "murmur2_random",
}
"""How what nobody will miss is sent: at once, and to the partition of its room."""

GUARDED = {*CONSUMER, *PRODUCER, "bootstrap.servers", "group.id", "message.timeout.ms"}
"""Properties that guard a promise, or are set by another name."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What one client may ask for, and what is kept for it."""

    per_second: float = 10.0
    """Requests, of one connection; of one user, on one server, twice that."""
    burst: float = 40.0
    frame_bytes: int = 65_536
    """The largest frame of a client."""
    queue: int = 1_000
    """Packets that wait for one client. One that has more to read than this is too slow, and is disconnected."""
    connections: int = 20
    """Of one user, on one server."""
    rooms: int = 100
    """Of one connection."""


@dataclass(frozen=True, slots=True)
class Settings:
    """How one server runs.

    Args:
        database_url: the PostgreSQL of the outbox and of the schema `realtime`; a pooler may be between.
        kafka_brokers: host:port, comma separated.
        secret: that signs the users' tokens.
        name: of this server, in logs and in `realtime.server`.
        topic: of real-time events in Kafka.
        kafka: further librdkafka properties, for TLS and SASL.
        origins: of web pages that may connect; none: those of the server's own origin.
        transports: of Socket.IO.
        policy: `module:function` that makes the rule who may enter which room; empty for that of enrolments.
        heartbeat_seconds: between two signs of life.
        dead_after_seconds: of silence, others end this server.
        ring_seconds: a call rings for.
        retention: seconds that entries of chats and feeds are kept; infinite for ever.
        metrics_port: where Prometheus finds `/metrics`, on 127.0.0.1; None for nowhere.
        limits: of clients.
    """

    database_url: str = field(repr=False)
    kafka_brokers: str
    secret: str = field(repr=False)
    name: str = field(default_factory=lambda: f"{socket.gethostname()}:{os.getpid()}")
    topic: str = KAFKA_TOPICS.REALTIME_EVENTS.value
    kafka: Mapping[str, str] = field(default_factory=dict, repr=False)
    origins: tuple[str, ...] = ()
    transports: tuple[str, ...] = TRANSPORTS[:1]
    policy: str = ""
    heartbeat_seconds: float = 2.0
    dead_after_seconds: float = 8.0
    ring_seconds: float = 30.0
    retention: float = 365 * 86_400.0
    metrics_port: int | None = None
    limits: Limits = field(default_factory=Limits)


def from_environment(environ: Mapping[str, str]) -> Settings:
    """Read the settings.

    Args:
        environ: variables; `DATABASE_URL`, `KAFKA_BROKERS`, `JWT_SECRET` and those that begin with `REALTIME_`.

    Raises:
        SettingsError: some are missing or malformed, or begin with `REALTIME_` and mean nothing; the text names each.
    """
    reading = _Reading(environ)
    given: dict[str, Any] = {
        "database_url": reading.told(database_url),
        "kafka_brokers": reading.needed("KAFKA_BROKERS", "host:port, several with commas"),
        "secret": reading.told(load_secret),
        "name": reading.read("REALTIME_NAME", "1 to 100 printable characters", _name),
        "topic": reading.read("REALTIME_TOPIC", "the name of a topic in Kafka", str),
        "kafka": reading.kafka(),
        "origins": reading.read("REALTIME_ORIGINS", "https://www.example.com, several with commas", _origins),
        "transports": reading.read("REALTIME_TRANSPORTS", "websocket, or websocket,polling", _transports),
        "policy": reading.read("REALTIME_POLICY", "module:function", _policy),
        "heartbeat_seconds": reading.read("REALTIME_HEARTBEAT_SECONDS", "a number from 0.1 to 60", _number(0.1, 60)),
        "dead_after_seconds": reading.read(
            "REALTIME_DEAD_AFTER_SECONDS", "a number from 0.3 to 600", _number(0.3, 600)
        ),
        "ring_seconds": reading.read("REALTIME_RING_SECONDS", "a number from 1 to 600", _number(1, 600)),
        "retention": reading.read("REALTIME_RETENTION", f"{FOREVER}, or {duration.ALLOWED}", _retention),
        "metrics_port": reading.read("REALTIME_METRICS_PORT", "a port, 1 to 65535", _port),
        "limits": Limits(**reading.limits()),
    }
    reading.finish()
    settings = Settings(**{name: value for name, value in given.items() if value is not None})
    if settings.dead_after_seconds < 3 * settings.heartbeat_seconds:
        raise SettingsError(
            f"REALTIME_DEAD_AFTER_SECONDS is {settings.dead_after_seconds:g}, less than three times "
            f"REALTIME_HEARTBEAT_SECONDS ({settings.heartbeat_seconds:g}): one late heartbeat would end a server"
        )
    return settings


class _Reading:
    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        self._known: set[str] = set()
        self._wrong: list[str] = []

    def read(self, name: str, allowed: str, make: Callable[[str], T]) -> T | None:
        self._known.add(name)
        text = self._environ.get(name, "")
        if not text:
            return None
        try:
            return make(text)
        except ValueError:
            self._wrong.append(f"{name} is {text!r:.80}; allowed: {allowed}")
            return None

    def needed(self, name: str, allowed: str) -> str:
        if not self._environ.get(name):
            self._wrong.append(f"{name} is not set; it needs: {allowed}")
        return self._environ.get(name, "")

    def kafka(self) -> dict[str, str]:
        properties, wrong = read_properties(self._environ, KAFKA, GUARDED)
        self._wrong += wrong
        return properties

    def told(self, make: Callable[[Mapping[str, str]], str]) -> str:
        try:
            return make(self._environ)
        except SettingsError as error:
            self._wrong.append(str(error))
            return ""

    def limits(self) -> dict[str, Any]:
        most = {"per_second": 1_000, "burst": 10_000, "frame_bytes": 1_000_000, "queue": 100_000}
        found = {}
        for limit in fields(Limits):
            top = most.get(limit.name, 10_000)
            name = f"REALTIME_LIMIT_{limit.name.upper()}"
            value = self.read(name, f"a number from 1 to {top}", _number(1, top))
            if value is not None:
                found[limit.name] = limit.type(value) if limit.type in (int, float) else value
        return found

    def finish(self) -> None:
        for name in sorted(self._environ):
            if not name.startswith("REALTIME_") or name.startswith(KAFKA) or set_by_kubernetes(name, "REALTIME"):
                continue
            if name not in self._known:
                self._wrong.append(
                    f"{name} means nothing here; known are {', '.join(sorted(self._known))} and {KAFKA}…"
                )
        if self._wrong:
            raise SettingsError("\n".join(self._wrong))


def _name(text: str) -> str:
    if not text.isprintable() or len(text) > 100:  # noqa: PLR2004 - said where it is read
        raise ValueError(text)
    return text


def _origins(text: str) -> tuple[str, ...]:
    origins = tuple(part.strip().rstrip("/") for part in text.split(","))
    if not all(re.fullmatch(r"https?://[^/\s*]+", origin) for origin in origins):
        raise ValueError(text)
    return origins


def _transports(text: str) -> tuple[str, ...]:
    transports = tuple(part.strip() for part in text.split(","))
    if not set(transports) <= set(TRANSPORTS):
        raise ValueError(text)
    return transports


def _retention(text: str) -> float:
    return math.inf if text == FOREVER else float(duration.seconds(text))


def _port(text: str) -> int:
    if not text.isdecimal():
        raise ValueError(text)
    return int(_number(1, 65_535)(text))


def _policy(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*", text):
        raise ValueError(text)
    return text


def _number(least: float, most: float) -> Callable[[str], float]:
    def read(text: str) -> float:
        number = float(text)
        if not least <= number <= most:
            raise ValueError(text)
        return number

    return read
