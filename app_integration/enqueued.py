"""What was enqueued, as a test wants to see it, and which of it comes nearest to what was expected. Pure.

Holds the queries too, but executes nothing and knows no connection: `pytest_plugin` does.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from app_integration.payload import JSON, serialise

READ: Final = """
-- enqueued_in_this_transaction
select id, topic, key, type, payload, content_type, headers::text, deliver_after
from outbox.message
where xid = pg_current_xact_id_if_assigned()
order by seq
"""

READ_ALL: Final = """
-- enqueued_and_visible: by this transaction or by any that has committed
select id, topic, key, type, payload, content_type, headers::text, deliver_after
from outbox.message
order by seq
"""

ANYTHING: Final[Any] = object()
"""Stands for what an expectation does not speak of; None is an expectation."""


@dataclass(frozen=True, slots=True)
class EnqueuedMessage:
    """A message that a transaction would publish if it committed now.

    Args:
        payload: decoded where its media type is JSON; else the bytes, or None, a tombstone.
    """

    id: UUID
    topic: str
    key: str | None
    type: str | None
    payload: Any
    content_type: str | None
    headers: Mapping[str, str]
    deliver_after: datetime | None


@dataclass(frozen=True, slots=True)
class Expectation:
    """What a test says of a message: the fields it names, and nothing of the others."""

    topic: Any = ANYTHING
    key: Any = ANYTHING
    type: Any = ANYTHING
    payload: Any = ANYTHING
    headers: Any = ANYTHING
    deliver_after: Any = ANYTHING

    def named(self) -> dict[str, Any]:
        """Give the fields that the test spoke of, a payload in the form in which it would be read back."""
        said = {field.name: getattr(self, field.name) for field in fields(self)}
        if self.payload is not ANYTHING:
            said["payload"] = _payload(*serialise(self.payload))
        return {name: value for name, value in said.items() if value is not ANYTHING}


def decode(rows: Iterable[Sequence[Any]]) -> list[EnqueuedMessage]:
    """Make messages of rows as `READ` gives them."""
    return [
        EnqueuedMessage(id_, topic, key, type_, _payload(payload, media), media, json.loads(headers or "{}"), after)
        for id_, topic, key, type_, payload, media, headers, after in rows
    ]


def pick(messages: Sequence[EnqueuedMessage], expectation: Expectation) -> list[EnqueuedMessage]:
    """Give the messages that are as expected."""
    expected = expectation.named()
    return [message for message in messages if not _differences(message, expected)]


def describe_nearest(messages: Sequence[EnqueuedMessage], expectation: Expectation) -> str:
    """Say what was expected and which messages come nearest to it, with what is different about them."""
    expected = expectation.named()
    lines = ["no message was enqueued with " + _fields(expected)]
    ranked = sorted(messages, key=lambda message: len(_differences(message, expected)))
    lines += [f"  near: {_near(message, expected)}" for message in ranked[:3]]
    others = len(ranked) - 3
    lines += [f"  and {others} more"] if others > 0 else []
    return "\n".join(lines if ranked else [*lines, "  nothing was enqueued in this transaction"])


def describe(messages: Sequence[EnqueuedMessage]) -> str:
    """Say what was enqueued, a line for each message."""
    names = ("topic", "key", "type", "payload")
    return "\n".join(f"  {_fields({name: getattr(message, name) for name in names})}" for message in messages)


def _near(message: EnqueuedMessage, expected: Mapping[str, Any]) -> str:
    different = _differences(message, expected)
    same = _fields({name: value for name, value in expected.items() if name not in different})
    return "; ".join(
        [f"{name}={getattr(message, name)!r} where {expected[name]!r} was expected" for name in different]
        + [f"same {same}"] * bool(same)
    )


def _differences(message: EnqueuedMessage, expected: Mapping[str, Any]) -> list[str]:
    return [name for name, value in expected.items() if getattr(message, name) != value]


def _fields(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}={value!r}" for name, value in values.items()) or "anything at all"


def _payload(payload: bytes | None, content_type: str | None) -> Any:
    """Decode JSON, `application/cloudevents+json` and their like (RFC 6839, section 3.1) included."""
    media = (content_type or "").partition(";")[0].strip()
    if payload is None or not (media == JSON or media.endswith("+json")):
        return None if payload is None else bytes(payload)
    return json.loads(bytes(payload))
