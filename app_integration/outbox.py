"""The door: `enqueue` and `enqueue_many` for every kind of connection, typed to catch a wrong call.

The caller's transaction is the first argument and never optional. A session, of either kind, is called
without `await`; an asynchronous connection is awaited. Checks come first: a message that cannot be sent
raises before anything is written. An `Outbox` is immutable and holds no connection; share one, or use the
module's functions, which are those of an `Outbox()` that knows no topics.
"""

from collections.abc import Coroutine, Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from os import PathLike
from typing import Any, Self, TypeVar, overload
from uuid import UUID

from app_integration.errors import InvalidMessage
from app_integration.message import NewMessage, Row, prepare
from app_integration.payload import Payload
from app_integration.topics import Topic, Topics, read_topics
from app_integration.tracing import with_trace
from app_integration.transaction import Awaited, Direct, send

_T = TypeVar("_T")


class Outbox:
    """Enqueues messages, and knows which topics there are.

    Args:
        topics: the topics by logical name, with their limits; of others Kafka's default limit is assumed.
        strict_topics: whether only those may be used, as the relay's setting of that name.

    Raises:
        ConfigurationError: a topic has a name or a limit that cannot be.
    """

    def __init__(self, topics: Mapping[str, Topic] | None = None, *, strict_topics: bool = False) -> None:
        self._topics = Topics(dict(topics or {}), strict_topics)

    @classmethod
    def from_file(cls, path: str | PathLike[str]) -> Self:
        """Know the topics that the relay's own file lists.

        Args:
            path: a `relay.toml`; its `[topics]` and `strict_topics` are read.

        Raises:
            ConfigurationError: the file cannot be read, or a topic in it is malformed.
        """
        topics = read_topics(path)
        return cls(topics.known, strict_topics=topics.strict)

    @overload
    def enqueue(
        self,
        transaction: Direct,
        topic: str,
        payload: Payload,
        *,
        key: str | None = None,
        type: str | None = None,
        headers: Mapping[str, str] | None = None,
        content_type: str | None = None,
        id: UUID | None = None,
        deliver_after: datetime | None = None,
    ) -> UUID: ...

    @overload
    def enqueue(
        self,
        transaction: Awaited,
        topic: str,
        payload: Payload,
        *,
        key: str | None = None,
        type: str | None = None,
        headers: Mapping[str, str] | None = None,
        content_type: str | None = None,
        id: UUID | None = None,
        deliver_after: datetime | None = None,
    ) -> Coroutine[Any, Any, UUID]: ...

    def enqueue(
        self,
        transaction: "Direct | Awaited",
        topic: str,
        payload: Payload,
        *,
        key: str | None = None,
        type: str | None = None,  # noqa: A002 - the column
        headers: Mapping[str, str] | None = None,
        content_type: str | None = None,
        id: UUID | None = None,  # noqa: A002 - the column
        deliver_after: datetime | None = None,
    ) -> UUID | Coroutine[Any, Any, UUID]:
        """Put a message into the outbox, to be published if and only if the transaction commits.

        Args:
            transaction: a session or connection; the message shares its transaction.
            topic: logical name of the topic.
            payload: a mapping, list, dataclass or pydantic model (JSON), bytes, or None, a tombstone.
            key: messages of one topic and key are published in the order in which they were written.
            type: what happened, the CloudEvents `type`.
            headers: Kafka headers of your own, text to text.
            content_type: media type of the payload; chosen by the payload unless given.
            id: public identity, on which consumers deduplicate; a new UUIDv7 unless given.
            deliver_after: not to be published before this time, which has a time zone and is at most ten years ahead;
                at once if it is past. A message that waits for its time has no order with others of its key.

        Returns:
            The message's identity; with an asynchronous connection, when awaited.

        Raises:
            InvalidMessage: the message cannot be sent; the text names the field.
            NoTransaction: nothing is open that the message could be committed or rolled back with.
            WrongDatabase: the session has several databases and no bind for the outbox.
        """
        message = NewMessage(
            topic=topic,
            payload=payload,
            key=key,
            type=type,
            headers=with_trace(headers),
            content_type=content_type,
            id=id,
            deliver_after=deliver_after,
        )
        row = prepare(message, self._topics)
        writing = send(transaction, [row])
        return row.id if writing is None else _then(writing, row.id)

    @overload
    def enqueue_many(self, transaction: Direct, messages: Iterable[NewMessage]) -> list[UUID]: ...

    @overload
    def enqueue_many(self, transaction: Awaited, messages: Iterable[NewMessage]) -> Coroutine[Any, Any, list[UUID]]: ...

    def enqueue_many(
        self, transaction: "Direct | Awaited", messages: Iterable[NewMessage]
    ) -> list[UUID] | Coroutine[Any, Any, list[UUID]]:
        """Put many messages into the outbox, in the order given, a thousand to a statement.

        All are checked before the first is written. They are held in memory together; share a larger number
        out over several calls.

        Args:
            transaction: as for `enqueue`.
            messages: the messages, in order.

        Returns:
            Their identities, in order; with an asynchronous connection, when awaited.

        Raises:
            InvalidMessage: a message cannot be sent; the text names which, by its index, and the field.
            NoTransaction: as for `enqueue`.
            WrongDatabase: as for `enqueue`.
        """
        rows = [self._prepare(index, message) for index, message in enumerate(messages)]
        identities = [row.id for row in rows]
        writing = send(transaction, rows)
        return identities if writing is None else _then(writing, identities)

    def _prepare(self, index: int, message: NewMessage) -> Row:
        try:
            return prepare(replace(message, headers=with_trace(message.headers)), self._topics)
        except InvalidMessage as error:
            raise type(error)(f"messages[{index}].{error.field}", error.problem) from None


async def _then(writing: Coroutine[Any, Any, None], result: _T) -> _T:
    await writing
    return result


_default = Outbox()
enqueue = _default.enqueue
enqueue_many = _default.enqueue_many
