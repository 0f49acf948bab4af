"""What is known of topics on the application's side: their names, and how large a message each takes. Pure.

The relay and Kafka judge again; this is the place that can say no while the transaction can still be rolled
back.
"""

import difflib
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

from app_integration.errors import ConfigurationError, InvalidMessage, UnknownTopic

DEFAULT_MAX_MESSAGE_BYTES = 1_048_588
"""Kafka's `max.message.bytes` of a topic for which nothing else was set (Kafka documentation, topic
configs)."""

_NAME = re.compile(r"[a-zA-Z0-9._-]{1,249}")


@dataclass(frozen=True, slots=True)
class Topic:
    """A topic that may be used.

    Args:
        max_message_bytes: the topic's `max.message.bytes` in Kafka, in bytes.
    """

    max_message_bytes: int = DEFAULT_MAX_MESSAGE_BYTES

    def __post_init__(self) -> None:
        if type(self.max_message_bytes) is not int or self.max_message_bytes < 1:
            raise ConfigurationError(
                f"max_message_bytes is {self.max_message_bytes!r}; allowed is a whole number, 1 or more"
            )


_ORDINARY = Topic()


@dataclass(frozen=True, slots=True)
class Topics:
    """The topics that are known, and whether only those may be used."""

    known: Mapping[str, Topic]
    strict: bool

    def __post_init__(self) -> None:
        for name in self.known:
            try:
                check_name(name)
            except InvalidMessage as error:
                raise ConfigurationError(f"topics: {error.problem}") from None

    def find(self, name: str) -> Topic:
        """Look a topic up by its logical name.

        Raises:
            InvalidMessage: the name is not one that Kafka takes.
            UnknownTopic: only known topics may be used and this is none; the text names the nearest.
        """
        check_name(name)
        topic = self.known.get(name)
        if topic is not None:
            return topic
        if not self.strict:
            return _ORDINARY
        near = difflib.get_close_matches(name, self.known, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"known are: {', '.join(sorted(self.known)) or 'none'}"
        raise UnknownTopic("topic", f"{name!r} is not configured, and only configured topics may be used; {hint}")


def check_name(name: Any) -> None:
    """Refuse what Kafka takes for no topic (`org.apache.kafka.common.internals.Topic.validate`)."""
    if not isinstance(name, str) or name in {".", ".."} or not _NAME.fullmatch(name):
        raise InvalidMessage(
            "topic",
            f"is {name!r}; allowed are 1 to 249 letters, digits, '.', '_' and '-', but not '.' or '..' alone",
        )


def read_topics(path: str | PathLike[str]) -> Topics:
    """Read the topics from the relay's own file, so that they are written down once.

    Args:
        path: a `relay.toml`; `[topics.<name>]`, in it `config."max.message.bytes"`, and `strict_topics` of
            `[relay]`.

    Raises:
        ConfigurationError: the file cannot be read, or one of these is not what it should be; the text names
            it.
    """
    try:
        document = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigurationError(f"{path}: cannot be read as TOML: {error}") from None
    strict = _table(document, "relay", str(path)).get("strict_topics", False)
    if not isinstance(strict, bool):
        raise ConfigurationError(f"{path}: relay.strict_topics is {strict!r}; allowed are true and false")
    tables = _table(document, "topics", str(path))
    return Topics({name: _topic(tables, name, str(path)) for name in tables}, strict)


def _topic(tables: Mapping[str, Any], name: str, path: str) -> Topic:
    config = _table(_table(tables, name, path), "config", path)
    limit = config.get("max.message.bytes", DEFAULT_MAX_MESSAGE_BYTES)
    try:
        return Topic(int(limit))
    except (TypeError, ValueError, ConfigurationError):
        raise ConfigurationError(
            f'{path}: topics.{name}.config."max.message.bytes" is {limit!r}; allowed is a whole number'
        ) from None


def _table(parent: Mapping[str, Any], name: str, path: str) -> Mapping[str, Any]:
    table = parent.get(name, {})
    if not isinstance(table, dict):
        raise ConfigurationError(f"{path}: {name} is {table!r}; it must be a table")
    return table
