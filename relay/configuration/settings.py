"""Every setting: its name, default, limits and meaning. Every check of a setting is here.

Guarantees: settings are valid and never change; no setting can break a promise; passwords are in no `repr`. Knows
neither where a setting is written nor how it is used. `docs/settings.md` is the same for people.
"""

import os
import re
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from psycopg import ProgrammingError
from psycopg.conninfo import conninfo_to_dict
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator

from relay.configuration import capacity, duration
from relay.configuration.kafka_properties import as_text
from relay.configuration.sources import flat
from relay.policy import OnFailure

KAFKA_NAME = re.compile(r"(?!\.{1,2}$)[a-zA-Z0-9._-]{1,249}")
"""What Kafka allows as a topic's name (`org.apache.kafka.common.internals.Topic`)."""

_URI_REFERENCE = r"^[A-Za-z0-9._~:/?#\[\]@!$&'()*+,;=%-]{1,100}$"
"""The characters of RFC 3986; CloudEvents 1.0 asks for a non-empty URI reference as `source`."""

_BROKER = re.compile(r"([A-Za-z_]+://)?(\[[0-9a-fA-F:]+\]|[A-Za-z0-9._-]+)(:\d{1,5})?")

_ON_FAILURE = " or ".join(f'"{choice}"' for choice in OnFailure)

_Choice = Annotated[OnFailure, BeforeValidator(OnFailure)]
"""Text in a file as in the environment; where values have types of their own, pydantic would ask for the member."""


def _setting(default: Any, allowed: str, meaning: str, **limits: Any) -> Any:
    """Declare a setting with what it may be, in words for errors and docs."""
    return Field(default, description=meaning, json_schema_extra={"allowed": allowed}, **limits)


def _whole(default: int, low: int, high: int, meaning: str) -> Any:
    return _setting(default, f"a whole number from {low} to {high}", meaning, ge=low, le=high)


def _own_name() -> str:
    return f"{socket.gethostname()[:40]}:{os.getpid()}"


class Topic(BaseModel):
    """One table `[topics.<logical>]`: where a logical topic goes, and how `relay topics --create` makes it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = _setting(
        "",
        "1 to 249 letters, digits, dots, underscores and hyphens",
        "the topic's name in Kafka; the logical name",
    )
    partitions: int | None = _setting(
        None,
        "a whole number of 1 or more",
        "partitions to create it with; the broker's default",
        ge=1,
        le=2**31 - 1,
    )
    replication: int | None = _setting(
        None,
        "a whole number from 1 to 32767",
        "replicas to create it with; the broker's default",
        ge=1,
        le=32767,
    )
    config: Mapping[str, str] = _setting(
        {}, "a table of text, numbers and booleans", "Kafka's topic settings to create it with"
    )
    on_failure: _Choice | None = _setting(
        None, _ON_FAILURE, "what waits behind a message that Kafka refuses; that of [relay]"
    )
    max_attempts: int | None = _setting(
        None,
        "a whole number from 1 to 1000",
        "how often a message that Kafka refuses is tried until it is dead; that of [relay]",
        ge=1,
        le=1_000,
    )
    rate: float | None = _setting(
        None,
        "a number above 0, up to 1000000000",
        "how many of its messages all relays together publish in a second at most; relay limit goes before it",
        gt=0,
        le=1_000_000_000,
        allow_inf_nan=False,
    )

    @field_validator("name")
    @classmethod
    def _is_a_kafka_name(cls, name: str) -> str:
        if not KAFKA_NAME.fullmatch(name):
            raise ValueError
        return name

    @field_validator("config", mode="before")
    @classmethod
    def _is_text(cls, config: object) -> dict[str, str]:
        texts = {name: as_text(value) for name, value in flat(config)} if isinstance(config, dict) else {"": None}
        if None in texts.values():
            raise ValueError
        return {name: text for name, text in texts.items() if text is not None}


class Settings(BaseModel):
    """Everything that can be set. Fields but `kafka`, `topics` and `secrets` are the keys of `[relay]`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(
        default_factory=_own_name,
        pattern=r"^[!-~]{1,50}$",
        description="the name of this relay, in `relay status`, logs and `pg_stat_activity`",
        # 63 bytes are all that PostgreSQL keeps of an application_name, "outbox-relay " is 13 of them.
        json_schema_extra={"allowed": "1 to 50 printable ASCII characters without spaces"},
    )
    database_url: str = _setting(
        "",
        "postgresql://user:password@host:5432/database, with special characters percent-encoded",
        "the PostgreSQL of the outbox, without a pooler",
        repr=False,
    )
    kafka_brokers: str = _setting("", "host:port, several with commas", "the brokers to start from")
    source: str = _setting(
        "/outbox",
        "a URI reference without spaces, of at most 100 characters",
        "the CloudEvents `ce_source` header",
        pattern=_URI_REFERENCE,
    )
    headers: Literal["cloudevents", "id"] = _setting(
        "cloudevents", '"cloudevents" or "id"', "all CloudEvents headers, or `ce_id` alone, which is faster"
    )
    strict_topics: bool = _setting(
        False, "true or false", "whether a message whose topic is not listed under [topics] is refused"
    )
    doorbell: bool = _setting(True, "true or false", "whether commits wake the relay; if not, it only polls")
    durability: Literal["local", "replicated"] = _setting(
        "local",
        '"local" or "replicated"',
        "whether a message is published once PostgreSQL has it on its disk, or only once its standbys have it too",
    )
    poll_interval_seconds: float = _setting(
        1.0,
        "a number of seconds above 0, up to 60",
        "how often a sleeping relay looks by itself",
        gt=0,
        le=60,
    )
    page_rows: int = _whole(10_000, 1, 100_000, "about how many messages are read at once")
    page_bytes: int = _whole(
        8_388_608,
        1024,
        1_073_741_824,
        "how many bytes are read at once; the message that crosses it is still in",
    )
    checkpoint_interval_seconds: float = _setting(
        0.25, "a number of seconds from 0.05 to 5", "how long progress may go unrecorded", ge=0.05, le=5
    )
    checkpoint_messages: int = _whole(20_000, 1, 1_000_000, "after how many messages progress is recorded at once")
    on_failure: _Choice = _setting(OnFailure.BLOCK_KEY, _ON_FAILURE, "what waits behind a message that Kafka refuses")
    max_attempts: int = _whole(10, 1, 1_000, "how often a message that Kafka refuses is tried until it is dead")
    retry_first_seconds: float = _setting(
        1.0,
        "a number of seconds from 0.1 to 3600",
        "until such a message is tried for the second time; each further pause is twice as long",
        ge=0.1,
        le=3_600,
    )
    retry_longest_seconds: float = _setting(
        300.0, "a number of seconds from 0.1 to 86400", "what those pauses double up to", ge=0.1, le=86_400
    )
    held_limit: int = _whole(
        100_000, 1, 100_000_000, "how many messages of a topic may wait in order until reading pauses"
    )
    retention: str = _setting(
        "7d", duration.ALLOWED, "how long sent messages are kept, by the database's clock; 0: no longer than needed"
    )
    takeover_seconds: int = _whole(25, 5, 300, "after how many seconds of silence a relay hangs and loses its shards")
    http_port: int | None = _setting(
        None,
        "a whole number from 0 to 65535; 0 takes any that is free",
        "where the relay can be watched over HTTP (`/livez`, `/readyz`, `/metrics`); nowhere unless set",
        ge=0,
        le=65_535,
    )
    http_host: str = _setting(
        "127.0.0.1",
        "an address or a name of this machine",
        "on which of its addresses; what is told there is for operators, so only itself may ask unless set",
        pattern=r"^[A-Za-z0-9.:_-]{1,255}$",
    )
    log_format: Literal["console", "json"] = _setting(
        "console", '"console" or "json"', "log lines for people, or one JSON object a line"
    )
    log_level: Literal["info", "warning", "error"] = _setting(
        "info", '"info", "warning" or "error"', "what is less grave is not logged"
    )
    tracing: bool = _setting(
        False,
        "true or false",
        "whether messages that carry a `traceparent` get a span of OpenTelemetry, exported by the OTEL_* variables",
    )
    measure_interval_seconds: float = _setting(
        15.0,
        "a number of seconds from 1 to 3600",
        "how often the backlog is measured for `/metrics`, where there is an http_port",
        ge=1,
        le=3_600,
    )
    disk_budget: str = _setting(
        "",
        capacity.ALLOWED,
        "how much of PostgreSQL's disk the outbox may take; then `relay status` and `/metrics` tell when it is full",
    )
    kafka: Mapping[str, str] = _setting({}, "[kafka]", "librdkafka properties", repr=False)
    topics: Mapping[str, Topic] = _setting({}, "[topics.<logical>]", "logical topics")
    secrets: Mapping[str, Path] = _setting({}, "", "the files that secrets were read from")

    @property
    def disk_bytes(self) -> int | None:
        """The `disk_budget` in bytes, if it is set."""
        return capacity.read(self.disk_budget) if self.disk_budget else None

    @field_validator("database_url")
    @classmethod
    def _is_postgresql(cls, url: str) -> str:
        scheme, found, rest = url.partition("://")
        if scheme not in ("postgresql", "postgresql+psycopg", "postgres") or not found:
            raise ValueError
        try:
            parts = conninfo_to_dict(f"postgresql://{rest}")
        except ProgrammingError:
            # libpq's own words may quote the password.
            raise ValueError from None
        # A password with a bare / or @ is taken for a host or a database, and would be shown as such.
        ports = filter(None, str(parts.get("port", "")).split(","))
        if "@" in f"{parts.get('host', '')}{parts.get('dbname', '')}" or not all(map(str.isdecimal, ports)):
            raise ValueError
        return f"postgresql://{rest}"

    @field_validator("retention")
    @classmethod
    def _is_a_length_of_time(cls, text: str) -> str:
        duration.seconds(text)
        return text

    @field_validator("disk_budget")
    @classmethod
    def _is_a_capacity(cls, text: str) -> str:
        capacity.read(text)
        return text

    @field_validator("kafka_brokers")
    @classmethod
    def _are_brokers(cls, brokers: str) -> str:
        parts = [part.strip() for part in brokers.split(",")]
        if not all(map(_BROKER.fullmatch, parts)):
            raise ValueError
        return ",".join(parts)


FIELDS = {name: info for name, info in Settings.model_fields.items() if name not in ("kafka", "topics", "secrets")}
"""The keys of `[relay]`, each also a variable `RELAY_<UPPER CASE>`."""


def allowed(model: type[BaseModel], name: str) -> str:
    """Return what a setting may be, in words."""
    extra = model.model_fields[name].json_schema_extra
    return str(extra["allowed"]) if isinstance(extra, dict) else ""
