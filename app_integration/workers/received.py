"""A message as a worker receives it: the bytes of Kafka, and what the CloudEvents headers say of them. Pure.

Guarantees: every message has an identity, whoever produced it and however malformed it is, and a repeat has the same.
What is in the payload is the handler's business.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from types import MappingProxyType

LONGEST_ID = 200
"""Characters of a `ce_id` that can be a key of the inbox; the relay's have 36."""

REPLAY = "ce_replay"
"""Header of a message that an operator has published anew: the number of the act (see the relay's commands)."""

FORCE = "ce_force"
"""Header of such a message that is to be handled once more, although it was handled: `true`.

It counts only beside `ce_replay`, which no application can write through the outbox. The inbox then has a row of its
own for this act, so that a repeat of the forced message is a repeat like any other."""


@dataclass(frozen=True)
class Received:
    """One message.

    Args:
        topic: its topic in Kafka.
        partition: its partition.
        offset: its place there.
        key: its key, as bytes.
        value: its payload; None is a tombstone.
        headers: names and values in the order in which they were sent.
        timestamp: Kafka's, in milliseconds since 1970.
    """

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes | None]] = ()
    timestamp: int = 0

    @cached_property
    def header(self) -> Mapping[str, str]:
        """The headers that are text, by name; of several with one name the last (Kafka's `Headers.lastHeader`)."""
        return MappingProxyType({name: text for name, value in self.headers if (text := _text(value)) is not None})

    @cached_property
    def id(self) -> str:
        """The `ce_id`; of a message without a usable one, its place in Kafka, which a replay of the relay changes."""
        given = self.header.get("ce_id", "")
        if given and len(given) <= LONGEST_ID and given.isprintable():
            return given
        return f"{self.topic}/{self.partition}/{self.offset}"

    @property
    def type(self) -> str | None:
        """The `ce_type`: what happened."""
        return self.header.get("ce_type")

    @cached_property
    def time(self) -> datetime:
        """When it happened, in UTC: the `ce_time`, or Kafka's time where there is none that can be read."""
        try:
            stated = datetime.fromisoformat(self.header.get("ce_time", ""))
            if stated.utcoffset() is not None:
                return stated.astimezone(UTC)
        except (ValueError, OverflowError):
            pass
        return datetime.fromtimestamp(max(0, self.timestamp) / 1000, UTC)

    @property
    def replay(self) -> int:
        """The act by which it is handled once more; 0 for what is handled only once."""
        act = self.header.get(REPLAY, "")
        forced = self.header.get(FORCE) == "true" and act.isascii() and act.isdecimal() and len(act) <= 18  # noqa: PLR2004 - fits a bigint
        return int(act) if forced else 0


def _text(value: bytes | None) -> str | None:
    try:
        return None if value is None else value.decode()
    except UnicodeDecodeError:
        return None
