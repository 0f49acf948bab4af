"""What can be set for workers, by the environment alone: names, defaults, limits; every check of a setting is here.

Guarantees: an error names the variable, what was found and what is allowed, and all that is wrong is told at once.
What is secret may stand in a file that `<VARIABLE>_FILE` names (`app_integration.variables`), and is in no `repr` and
no error.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, field_validator

from app_integration.kafka_variables import read_properties
from app_integration.variables import ALLOWED_URL, FILE, libpq_url, read
from app_integration.workers.group import LOCKED
from relay.configuration import duration
from relay.configuration.kubernetes import set_by_kubernetes
from relay.errors import SettingsError

KAFKA = "WORKER_KAFKA_"
"""Begins the name of a variable that sets a property of librdkafka: WORKER_KAFKA_SASL_PASSWORD is `sasl.password`."""

TOPIC = r"^[a-zA-Z0-9._-]{0,249}$"
"""What Kafka takes as a topic's name; or nothing."""

INBOX_RETENTION = "100d"
"""Longer than Kafka keeps a message of any topic that workers consume (`app_integration.contracts.topics`): a group
that Kafka has forgotten begins at the earliest, and what the inbox does not know is handled again."""

GUARDED = {*LOCKED, "group.id", "bootstrap.servers", "acks", "enable.idempotence"}
"""Properties that guard a promise, or are set by another name."""


def _setting(default: Any, variable: str, allowed: str, **limits: Any) -> Any:
    return Field(default=default, json_schema_extra={"variable": variable, "allowed": allowed}, **limits)


class _FromEnvironment(BaseModel):
    """Settings of which each is one variable."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    @classmethod
    def load(cls, environ: Mapping[str, str]) -> Self:
        """Read them.

        Raises:
            SettingsError: with everything that is wrong, a line each.
        """
        given: dict[str, Any] = {}
        problems: list[str] = []
        for name in cls.model_fields:
            variable = cls.variable(name)
            if (value := _value(environ, variable, problems)) is not None:
                given[name] = value
        try:
            settings = cls.model_validate({**given, **cls._more(environ, problems)})
        except ValidationError as error:
            problems += [cls._problem(details, given) for details in error.errors(include_url=False)]
        if problems:
            raise SettingsError("\n".join(problems))
        return settings

    @classmethod
    def variable(cls, name: str) -> str:
        """Name the variable of a field."""
        return str(cls._extra(name)["variable"])

    @classmethod
    def _more(cls, _environ: Mapping[str, str], _problems: list[str]) -> dict[str, Any]:
        return {}

    @classmethod
    def _extra(cls, name: str) -> dict[str, Any]:
        extra = cls.model_fields[name].json_schema_extra
        return extra if isinstance(extra, dict) else {}

    @classmethod
    def _problem(cls, details: Any, given: Mapping[str, Any]) -> str:
        name = str(details["loc"][0])
        variable, allowed = cls.variable(name), cls._extra(name)["allowed"]
        if details["type"] == "missing":
            return f"{variable} is not set; expected: {allowed}"
        shown = repr(given.get(name)) if cls.model_fields[name].repr else "not what it should be"
        return f"{variable} is {shown}; allowed: {allowed}"


def _length_of_time(text: str) -> str:
    duration.seconds(text)
    return text


LengthOfTime = Annotated[str, AfterValidator(_length_of_time)]


class DatabaseSettings(_FromEnvironment):
    """Where the database is."""

    database_url: str = _setting(
        ...,
        "DATABASE_URL",
        ALLOWED_URL,
        repr=False,
    )

    @field_validator("database_url")
    @classmethod
    def _is_postgresql(cls, url: str) -> str:
        try:
            return libpq_url(url)
        except SettingsError:
            raise ValueError from None


class Settings(DatabaseSettings):
    """What every worker needs."""

    kafka_brokers: str = _setting(
        ..., "KAFKA_BROKERS", "host:port, several with commas", pattern=r"^[^\s,]+(,[^\s,]+)*$"
    )
    group_prefix: str = _setting(
        "worker-", "WORKER_GROUP_PREFIX", "up to 100 letters, digits, dots, _ and -", pattern=r"^[A-Za-z0-9._-]{0,100}$"
    )
    metrics_port: int | None = _setting(None, "WORKER_METRICS_PORT", "a port, 1 to 65535", ge=1, le=65535)
    retention: LengthOfTime = _setting(INBOX_RETENTION, "WORKER_RETENTION", duration.ALLOWED)
    topic: str = _setting(
        "", "WORKER_TOPIC", "a topic in Kafka, where it has another name than in the relay's settings", pattern=TOPIC
    )
    contracts: str = _setting(
        "",
        "WORKER_CONTRACTS",
        "modules that register the application's own events, with commas, as shop.events",
        pattern=r"^[A-Za-z_][\w.]*(,[A-Za-z_][\w.]*)*$|^$",
    )
    kafka: Mapping[str, str] = _setting({}, KAFKA + "…", "properties of librdkafka", repr=False)

    @property
    def properties(self) -> dict[str, str]:
        """What librdkafka is told."""
        return {**self.kafka, "bootstrap.servers": self.kafka_brokers}

    @classmethod
    def _more(cls, environ: Mapping[str, str], problems: list[str]) -> dict[str, Any]:
        known = {cls.variable(name) for name in cls.model_fields} | OTHERS
        problems += [
            f"{name} is no setting; known are {', '.join(sorted(known))} and {KAFKA}…"
            for name in sorted(environ)
            if name.startswith("WORKER_") and not name.startswith(KAFKA) and name.removesuffix(FILE) not in known
            if not set_by_kubernetes(name, "WORKER")
        ]
        kafka, wrong = read_properties(environ, KAFKA, GUARDED)
        problems += wrong
        return {"kafka": kafka}


OTHERS = {"WORKER_WEBHOOK_CONCURRENCY", "WORKER_WEBHOOK_RETENTION"}
"""Variables that begin like ours and are read elsewhere in this package."""


class SmtpSettings(_FromEnvironment):
    """How mail is sent."""

    host: str = _setting(..., "SMTP_HOST", "the name of a mail server", min_length=1)
    port: int = _setting(587, "SMTP_PORT", "a port, 1 to 65535", ge=1, le=65535)
    security: Literal["starttls", "tls", "none"] = _setting(
        "starttls", "SMTP_SECURITY", "starttls, tls (from the first byte, often port 465) or none"
    )
    username: str = _setting("", "SMTP_USERNAME", "the name to log in with; empty for no login")
    password: str = _setting("", "SMTP_PASSWORD", "text", repr=False)
    ca_file: str = _setting("", "SMTP_CA", "a file of certificates in PEM to trust instead of the system's")
    sender: str = _setting(
        ...,
        "SMTP_FROM",
        'an address, such as "Edu Matrix <mail@example.com>"',
        pattern=r"^[^\x00-\x1f\x7f]*[^\s<>@]+@[^\s<>@]+>?$",
    )
    timeout: float = _setting(15.0, "SMTP_TIMEOUT_SECONDS", "a number of seconds from 1 to 30", ge=1, le=30)


class WebhookSettings(_FromEnvironment):
    """How webhooks are delivered."""

    concurrency: int = _setting(
        64, "WORKER_WEBHOOK_CONCURRENCY", "how many endpoints are served at once, 1 to 1000", ge=1, le=1000
    )
    # Of its own: a delivery is a whole event, which nobody needs for as long as the name of what was handled.
    retention: LengthOfTime = _setting("30d", "WORKER_WEBHOOK_RETENTION", duration.ALLOWED)


class SecretSettings(_FromEnvironment):
    """The secret of an endpoint that is added."""

    secret: str = _setting("", "WEBHOOK_SECRET", "whsec_ and base64", repr=False)


def _value(environ: Mapping[str, str], variable: str, problems: list[str]) -> str | None:
    try:
        return read(environ, variable)
    except SettingsError as error:
        problems.append(str(error))
        return None
