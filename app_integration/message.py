"""A message from the application's hand to a row of `outbox.message`, checked field by field. Pure.

Whatever Kafka, PostgreSQL or the relay would refuse later is refused here, by the name of the field. Nothing
here knows a connection.
"""

import json
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

from app_integration.errors import InvalidMessage, MessageTooLarge
from app_integration.payload import Payload, serialise
from app_integration.topics import Topics

ENVELOPE_BYTES = 512
"""Set aside for what Kafka and the relay add to a message: 61 bytes of batch header and up to 30 of lengths
(Kafka protocol, record batch version 2), the CloudEvents headers with their names, and a `ce_source` of 250
bytes."""

RESERVED_HEADERS = frozenset(
    {"ce_specversion", "ce_id", "ce_type", "ce_source", "ce_time", "ce_replay", "ce_force", "content-type"}
)
"""Written by the relay (CloudEvents Kafka protocol binding 1.0, section 3.2; `ce_replay` where an operator has a sent
message published anew); a second one would contradict it."""

FARTHEST = timedelta(days=3653)
"""How far ahead a delivery may be set: ten years, as the table's constraint `deliver_after_is_within_ten_years` has
it. Beyond that it is a unit mistaken, milliseconds for seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewMessage:
    """A message to enqueue, for `enqueue_many`.

    Args:
        topic: logical name of the topic.
        payload: see `app_integration.payload.serialise`.
        key: messages of one topic and key are published in the order in which they were written; None for no
            order.
        type: what happened, the CloudEvents `type`.
        headers: the application's own Kafka headers, text to text.
        content_type: media type of the payload; chosen by the payload unless given.
        id: public identity, on which consumers deduplicate; a new UUIDv7 unless given.
        deliver_after: not to be published before this time, which has a time zone and is at most ten years ahead; at
            once if it is past, or None. A message that waits for its time has no order with others of its key.
    """

    topic: str
    payload: Payload
    key: str | None = None
    type: str | None = None
    headers: Mapping[str, str] | None = None
    content_type: str | None = None
    id: UUID | None = None
    deliver_after: datetime | None = None


class Row(NamedTuple):
    """A checked message, in the columns that an application may write."""

    id: UUID
    topic: str
    key: str | None
    type: str | None
    payload: bytes | None
    content_type: str | None
    headers: str | None
    """A JSON object of text."""
    deliver_after: datetime | None
    """In UTC."""


def prepare(message: NewMessage, topics: Topics) -> Row:
    """Check a message and make its row.

    Raises:
        InvalidMessage: or one of its kinds, naming the field.
    """
    limit = topics.find(message.topic).max_message_bytes
    payload, content_type = serialise(message.payload)
    row = Row(
        id=_identity(message.id),
        topic=message.topic,
        key=_text("key", message.key),
        type=_text("type", message.type),
        payload=payload,
        content_type=_text("content_type", message.content_type) or content_type,
        headers=_headers(message.headers),
        deliver_after=_delivery(message.deliver_after),
    )
    _check_size(row, message.headers or {}, limit)
    return row


def uuid7() -> UUID:
    """Make an identity that sorts by time (RFC 9562, section 5.7): an index grows at its end."""
    milliseconds = time.time_ns() // 1_000_000
    value = (milliseconds << 80) | int.from_bytes(os.urandom(10))
    # Four version bits, 0111, after the time, and two variant bits, 10, after twelve random ones.
    value = value & ~(0xF << 76) | 0x7 << 76
    return UUID(int=value & ~(0x3 << 62) | 0x2 << 62)


def _identity(value: Any) -> UUID:
    if value is None:
        return uuid7()
    if not isinstance(value, UUID):
        raise InvalidMessage("id", f"is {value!r}, a {type(value).__name__}; allowed is a uuid.UUID")
    return value


def _text(field: str, value: Any) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str):
        raise InvalidMessage(field, f"is {value!r}, a {type(value).__name__}; allowed is text")
    if "\0" in value:
        raise InvalidMessage(field, f"is {value!r}; the character NUL cannot be stored in PostgreSQL text")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise InvalidMessage(field, f"is {value!r}; half a character cannot be carried in UTF-8") from None
    return value


def _headers(headers: Any) -> str | None:
    if headers is None:
        return None
    if not isinstance(headers, Mapping):
        raise InvalidMessage("headers", f"is a {type(headers).__name__}; allowed is a mapping of text to text")
    for name, value in headers.items():
        if not _text("headers", name):
            raise InvalidMessage("headers", f"has the name {name!r}; allowed is text, not empty")
        if name.lower() in RESERVED_HEADERS:
            raise InvalidMessage(f"headers.{name}", "is written by the relay; choose another name")
        if _text(f"headers.{name}", value) is None:
            raise InvalidMessage(f"headers.{name}", "is None; allowed is text")
    return json.dumps(dict(headers), ensure_ascii=False) if headers else None


def _delivery(value: Any) -> datetime | None:
    if value is None:
        return None
    if not isinstance(value, datetime):
        raise InvalidMessage("deliver_after", f"is {value!r}, a {type(value).__name__}; allowed is a datetime.datetime")
    if value.utcoffset() is None:
        raise InvalidMessage("deliver_after", f"is {value!r}, without a time zone; allowed is datetime.now(UTC) + …")
    try:
        moment = value.astimezone(UTC)
    except OverflowError:
        raise InvalidMessage("deliver_after", f"is {value!r}, which is no time in UTC") from None
    if moment - datetime.now(UTC) > FARTHEST:
        raise InvalidMessage("deliver_after", f"is {value!r}; allowed is a time at most ten years ahead")
    return moment


def _check_size(row: Row, headers: Mapping[str, str], limit: int) -> None:
    key, value = len((row.key or "").encode()), len(row.payload or b"")
    described = len(((row.type or row.topic) + (row.content_type or "")).encode())
    # Ten bytes for the two lengths that Kafka writes with each header.
    carried = sum(len(name.encode()) + len(text.encode()) + 10 for name, text in headers.items())
    size = key + value + described + carried + ENVELOPE_BYTES
    if size > limit:
        largest = max((value, "payload"), (key, "key"), (carried, "headers"))
        raise MessageTooLarge(
            largest[1],
            f"is {largest[0]} bytes and the whole message {size} (headers that the relay adds included); "
            f"topic {row.topic!r} takes {limit} (max.message.bytes)",
        )
