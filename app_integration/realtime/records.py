"""What servers tell one another on the topic `realtime-events`: a kind, an addressee and a body, as JSON. Pure.

Law: whoever may write to the topic is trusted with content, and with nothing else: a record that is no record is an
error here and is passed over by the server, never the end of it. Records are keyed by their addressee, so that those of
one room, one user or one call keep the order of their commits.
"""

import json
from dataclasses import dataclass
from enum import StrEnum
from typing import Any
from uuid import UUID

from app_integration.contracts.topics import KAFKA_TOPICS
from app_integration.message import NewMessage
from app_integration.realtime.names import ROOM, USER, room_of

LARGEST = 1_000_000
"""Bytes of a record: Kafka's own default limit. What is larger was written by none of us."""


class Kind(StrEnum):
    """What a record tells."""

    CHAT = "chat"
    FEED = "feed"
    NOTIFICATION = "notification"
    PRESENCE = "presence"
    TYPING = "typing"
    CALL = "call"
    EXPELLED = "expelled"


_KINDS = frozenset(kind.value for kind in Kind)

STREAMS = (Kind.CHAT, Kind.FEED)
"""Kinds that are stored in order under a number, and told with it."""

EPHEMERAL = (Kind.TYPING,)


class Malformed(ValueError):
    """This is no record; the text says why."""


@dataclass(frozen=True, slots=True)
class Record:
    """Something to tell to whom it concerns.

    Args:
        kind: what it tells.
        to: the room, a user's own room, or `call:<id>`.
        body: what clients get, but for calls.
    """

    kind: Kind
    to: str
    body: dict[str, Any]

    def encode(self) -> bytes:
        """Write it as it goes to Kafka."""
        return json.dumps({"kind": self.kind, "to": self.to, "body": self.body}, ensure_ascii=False).encode()

    def message(self) -> NewMessage:
        """Make of it what `app_integration.enqueue_many` takes."""
        return NewMessage(
            topic=KAFKA_TOPICS.REALTIME_EVENTS.value,
            payload={"kind": self.kind.value, "to": self.to, "body": self.body},
            key=self.to,
            type=f"realtime.{self.kind}",
        )


def notification(user_id: str, body: dict[str, Any], *, id: UUID | None = None) -> NewMessage:  # noqa: A002 - the column
    """Make the message that shows a user something at once, in each of their tabs, to be enqueued by whoever knows it.

    Args:
        user_id: whom.
        body: what their clients get: `id`, `type`, `title`, `message` and what else there is.
        id: the message's identity; a new one unless given.

    Raises:
        ValueError: that is no user's id.
    """
    if not USER.fullmatch(user_id):
        raise ValueError(f"user_id is {user_id!r}; allowed are up to 200 of A-Z a-z 0-9 . _ @ + -")
    made = Record(Kind.NOTIFICATION, room_of(user_id), body).message()
    return NewMessage(topic=made.topic, payload=made.payload, key=made.key, type=made.type, id=id)


def decode(value: bytes | str | None) -> Record:
    """Read a record.

    Raises:
        Malformed: it is none.
    """
    if value is None or len(value) > LARGEST:
        raise Malformed("there is no value" if value is None else f"it has {len(value)} bytes, {LARGEST} are allowed")
    try:
        document = json.loads(value)
    except (ValueError, RecursionError) as error:
        raise Malformed(f"it is not JSON: {error}") from None
    if not isinstance(document, dict):
        raise Malformed(f"it is a JSON {type(document).__name__}, not an object")
    kind, to, body = document.get("kind"), document.get("to"), document.get("body")
    if not isinstance(kind, str) or kind not in _KINDS:
        raise Malformed(f"its kind is {kind!r:.50}")
    if not isinstance(to, str) or not ROOM.fullmatch(to):
        raise Malformed(f"it is addressed to {to!r:.50}, which is no room")
    if not isinstance(body, dict):
        raise Malformed(f"its body is a JSON {type(body).__name__}, not an object")
    if kind in STREAMS and type(body.get("sequence")) is not int:
        raise Malformed(f"it is a {kind} without a number")
    return Record(Kind(kind), to, body)
