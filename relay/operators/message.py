"""All of one message, as an operator asks for it: what is recorded, what was done to it, and where it is in Kafka.

Guarantees: reads only; an id that is unknown, or a beginning that several ids have, is refused with what there is.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import psycopg
from psycopg.rows import class_row

from relay.errors import ChoiceError
from relay.operators.acts import Logged, prefix
from relay.printable import quoted

SHOW = """
-- show
select * from outbox.show(%(low)s, %(high)s)
"""

ACTS_ON = """
-- acts_on
select id, at, who, client, act, why, choice, messages from outbox.acts_on(%(id)s, %(topic)s, %(key)s)
"""


@dataclass(frozen=True, slots=True)
class Message:
    """A message as it is recorded; the fields of being held are None where it never was."""

    id: UUID
    shard: int
    seq: int
    topic: str
    key: str | None
    type: str | None
    content_type: str | None
    headers: str | None
    payload: bytes | None
    created_at: datetime
    deliver_after: datetime | None
    state: str
    sent_at: datetime | None
    sent_after: datetime | None
    """It was sent after this, and before `sent_at`: the time of the checkpoint before."""
    attempts: int | None
    held_at: datetime | None
    failed_at: datetime | None
    due_at: datetime | None
    code: str | None
    error: str | None
    settled_at: datetime | None
    replay: int | None
    in_the_way: UUID | None
    erased_at: datetime | None
    erased_by: int | None
    paused_at: datetime | None

    @property
    def why(self) -> str:
        """Why it is in its state, in words."""
        if self.erased_at is not None:
            return f"what it said was erased by act {self.erased_by}"
        reasons: Mapping[str, str] = {
            "paused": "its topic is paused: relay resume",
            "pending": "a relay sends it in its turn",
            "scheduled": "its time has not come",
            "retrying": "Kafka refused it; it is tried again",
            "dead": "Kafka refused it as often as allowed; it waits for relay replay or relay discard",
            "unreachable": "its topic cannot be written to",
            "blocked": f"{self.in_the_way} is in its way",
            "replaying": f"act {self.replay} publishes it once more",
            "sent": "Kafka has acknowledged it",
            "discarded": "an operator gave it up",
        }
        return reasons.get(self.state, "")

    def as_json(self) -> dict[str, Any]:
        """Return the same by name; the payload as text where it is some, else in hexadecimal."""
        values, payload = asdict(self), self.payload
        del values["payload"]
        text = None if payload is None else _text(payload)
        shown = {"payload": text, "payload_hex": payload.hex() if payload is not None and text is None else None}
        return {**values, "why": self.why, "payload_bytes": None if payload is None else len(payload), **shown}


def read(connection: "psycopg.Connection", id_: str) -> Message:
    """Read a message.

    Args:
        connection: an operator's session.
        id_: its id, or a beginning of it.

    Raises:
        ChoiceError: there is none, or there are several.
    """
    low, high = prefix(id_)
    with connection.cursor(row_factory=class_row(Message)) as cursor:
        found = cursor.execute(SHOW, {"low": low, "high": high}).fetchall()
    if not found:
        raise ChoiceError(f"no message {quoted(id_)} is known: it was never committed, or it is no longer kept")
    if len(found) > 1:
        ids = ", ".join(sorted(str(message.id) for message in found))
        raise ChoiceError(f"{quoted(id_)} is the beginning of several ids: {ids}{' …' * (len(found) == 10)}")  # noqa: PLR2004
    return found[0]


def acts_on(connection: "psycopg.Connection", message: Message) -> Sequence[Logged]:
    """Read what operators did to a message, the newest first."""
    values = {"id": message.id, "topic": message.topic, "key": message.key}
    return [Logged(*row) for row in connection.execute(ACTS_ON, values).fetchall()]


def _text(payload: bytes) -> str | None:
    try:
        return payload.decode()
    except UnicodeDecodeError:
        return None
