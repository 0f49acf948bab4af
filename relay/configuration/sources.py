"""Where settings are written: the environment and a TOML file. What they say, under which name, unjudged but for names.

Both become a `Source`: values by field, and for each the name that its writer knows it by. What a value may be is the
business of `relay.configuration.settings`; here only what is malformed, or has no such name, is a problem.
"""

import json
import tomllib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from relay.configuration import kafka_properties, secret_file
from relay.configuration.kafka_properties import VARIABLE, as_text, nearest
from relay.configuration.kubernetes import set_by_kubernetes
from relay.errors import SettingsError

OWN = {"RELAY_CONFIG", "RELAY_CACHE"}
"""Variables of the tools around the relay: the settings file, and where the demo keeps what it downloads."""

PLAIN = {"DATABASE_URL": "database_url", "KAFKA_BROKERS": "kafka_brokers"}
"""Variables that other programs read too. `RELAY_DATABASE_URL` and `RELAY_KAFKA_BROKERS` win over them."""


@dataclass
class Source:
    """What one place says.

    `relay` and `topics` are values as found; `kafka` is text already. `labels` name the fields of `relay`, and `kafka`
    and `topics` as a whole, in the words of the place. `problems` is what was wrong with the place itself.
    """

    strict: bool
    """Whether values have types of their own (a file), or all are text (the environment)."""
    relay: dict[str, Any] = field(default_factory=dict)
    kafka: dict[str, str] = field(default_factory=dict)
    topics: dict[str, Any] = field(default_factory=dict)
    secrets: dict[str, Path] = field(default_factory=dict)
    """The files that fields of `relay`, or properties of Kafka, were read from."""
    labels: dict[str, str] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    def label(self, *path: str) -> str:
        """Name a value as its writer knows it."""
        if path[0] == "topics" and self.strict:
            return f"{self.labels['topics']}[topics.{path[1]}] {' '.join(path[2:])}".rstrip()
        if path[0] == "topics":
            return f"{self.labels['topics']}: {' '.join(path[1:])}"
        return self.labels[path[0]]

    def add_secret(self, name: str, path: object, label: str, beside: str | None) -> None:
        """Take a secret from its file.

        Args:
            name: `database_url`, or a librdkafka property.
            path: the file.
            label: the setting that names the file.
            beside: the setting that gives the value itself, where there is one too.
        """
        if beside:
            self.problems.append(f"{label} and {beside} are both given; allowed: one of them")
            return
        if not isinstance(path, str):
            self.problems.append(f"{label} is {kind(path)}; allowed: the path of a file")
            return
        try:
            text = secret_file.read(Path(path), label)
        except SettingsError as error:
            self.problems.append(str(error))
            return
        self.secrets[name] = Path(path)
        if name in secret_file.KAFKA_SECRETS:
            self.kafka[name] = text
        else:
            self.relay[name], self.labels[name] = text, label

    def add_kafka(self, name: str, value: object, label: str) -> None:
        """Take a librdkafka property, unless it is refused."""
        text = as_text(value)
        if reason := kafka_properties.refusal(name):
            self.problems.append(f"{label} {reason}")
        elif text is None:
            self.problems.append(f"{label} is {kind(value)}; allowed: text, a number or a boolean")
        else:
            self.kafka[name] = text


def from_environment(environ: Mapping[str, str], fields: Collection[str]) -> Source:
    """Read the variables that are ours. An empty one counts as not set.

    Args:
        environ: the environment.
        fields: the names that `[relay]` knows.
    """
    source = Source(strict=False, labels={"topics": "RELAY_TOPICS"})
    for variable, name in PLAIN.items():
        if environ.get(variable):
            source.relay[name], source.labels[name] = environ[variable], variable
    if path := environ.get("DATABASE_URL_FILE"):
        source.add_secret(
            "database_url", path, "DATABASE_URL_FILE", "DATABASE_URL" if source.relay.get("database_url") else None
        )
    for variable in sorted(name for name in environ if name.startswith("RELAY_") and environ[name]):
        _take(source, variable, environ[variable], fields)
    for variable in sorted(name for name in environ if secret_of(name) and environ[name]):
        plain = variable.removesuffix("_FILE")
        source.add_secret(secret_of(variable), environ[variable], variable, plain if environ.get(plain) else None)
    return source


def secret_of(variable: str) -> str:
    """Name what a variable names the file of: `RELAY_KAFKA_SASL_PASSWORD_FILE` is for `sasl.password`; else empty."""
    if variable == "RELAY_DATABASE_URL_FILE":
        return "database_url"
    name = kafka_properties.from_variable(variable.removesuffix("_FILE"))
    return (
        name
        if variable == f"{VARIABLE}{name.upper().replace('.', '_')}_FILE" and name in secret_file.KAFKA_SECRETS
        else ""
    )


def _take(source: Source, variable: str, value: str, fields: Collection[str]) -> None:
    name = variable.removeprefix("RELAY_").lower()
    if name in fields and not (set_by_kubernetes(variable, "RELAY") and value.startswith("tcp://")):
        source.relay[name], source.labels[name] = value, variable
        source.secrets.pop(name, None)
    elif variable == "RELAY_TOPICS":
        _take_topics(source, value)
    elif variable in OWN or set_by_kubernetes(variable, "RELAY") or secret_of(variable):
        return
    elif variable.startswith(VARIABLE):
        source.add_kafka(kafka_properties.from_variable(variable), value, variable)
    else:
        known = [*fields, "topics", "config", "cache"]
        near = nearest(name, known, lambda found: f"RELAY_{found.upper()}")
        source.problems.append(f"{variable} is not a variable that the relay knows{near}")


def _take_topics(source: Source, value: str) -> None:
    try:
        topics = json.loads(value)
    except json.JSONDecodeError as error:
        source.problems.append(f"RELAY_TOPICS is not JSON: {error}")
        return
    if isinstance(topics, dict):
        source.topics = topics
    else:
        source.problems.append(
            f"RELAY_TOPICS is {kind(topics)}; allowed: a JSON object, "
            'such as {"orders": {"name": "shop.orders", "partitions": 6}}'
        )


def from_file(path: Path, fields: Mapping[str, object]) -> Source:
    """Read a TOML file.

    Args:
        path: the file, which must exist.
        fields: the names that `[relay]` knows.

    Raises:
        SettingsError: the file cannot be read or is not TOML.
    """
    tables = _parse(path)
    place = f"{path}: "
    source = Source(strict=True, labels={"topics": place})
    for name, table in tables.items():
        if name not in ("relay", "kafka", "topics"):
            near = nearest(name, ("[relay]", "[kafka]", "[topics]")) or "; [relay], [kafka] and [topics] are known"
            source.problems.append(f"{place}{name} is not a table that the relay knows{near}")
        elif not isinstance(table, dict):
            source.problems.append(f"{place}{name} is {kind(table)}; allowed: a table, [{name}]")
    _take_relay(source, place, _table(tables, "relay"), fields)
    properties = dict(flat(_table(tables, "kafka")))
    for key, value in properties.items():
        name = key.removesuffix("_file")
        if key != name and name in secret_file.KAFKA_SECRETS:
            source.add_secret(name, value, f"{place}[kafka] {key}", name if name in properties else None)
        else:
            source.add_kafka(key, value, f"{place}[kafka] {key}")
    source.topics = _table(tables, "topics")
    return source


def _parse(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"{path} is not TOML: {error}") from None
    except UnicodeDecodeError as error:
        raise SettingsError(f"{path} is not UTF-8 text: byte {error.start} is {error.object[error.start]:#x}") from None
    except OSError as error:
        raise SettingsError(f"the settings file {path} cannot be read: {error.strerror}") from None


def _table(tables: Mapping[str, Any], name: str) -> dict[str, Any]:
    table = tables.get(name)
    return table if isinstance(table, dict) else {}


def _take_relay(source: Source, place: str, table: Mapping[str, Any], fields: Mapping[str, object]) -> None:
    for name, value in table.items():
        label = f"{place}[relay] {name}"
        if name in fields:
            source.relay[name], source.labels[name] = value, label
        elif name == "database_url_file":
            source.add_secret("database_url", value, label, "database_url" if "database_url" in table else None)
        else:
            source.problems.append(f"{label} is not a setting that the relay knows{nearest(name, fields)}")


def flat(table: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Join nested names with dots: TOML reads the key `linger.ms` as a table `linger` with a key `ms`."""
    for name, value in table.items():
        if isinstance(value, dict):
            yield from flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def kind(value: object) -> str:
    """Say what kind of value was found, in the words of TOML and JSON."""
    words: dict[type, str] = {
        dict: "a table",
        list: "a list",
        bool: "a boolean",
        str: "text",
        type(None): "null",
    }
    return words.get(type(value), "a number" if isinstance(value, int | float) else type(value).__name__)
