"""The guide's five functions, with the caller's session first, so that what is told is true.

Law: each checks at the call and raises `InvalidMessage`, with the field's name, while the transaction can still be
rolled back; then the message goes with that transaction. They take every kind of session and connection, and return
what `app_integration.enqueue` returns: the message's id, with an asynchronous connection when awaited.

    queue_email(session, to=user.email, subject="Welcome!", template="welcome", data={"name": user.name})
"""

from collections.abc import Callable, Coroutine, Mapping
from datetime import datetime
from functools import update_wrapper
from typing import Any, Generic, ParamSpec, overload
from uuid import UUID

from pydantic import ValidationError

from app_integration.contracts.messages import AnalyticsEvent, AuditEntry, Email, Notification
from app_integration.contracts.problems import refused
from app_integration.contracts.registry import REGISTRY, Message, UnknownType
from app_integration.contracts.templates import check_template
from app_integration.contracts.topics import KAFKA_TOPICS
from app_integration.errors import InvalidMessage
from app_integration.message import NewMessage
from app_integration.outbox import enqueue
from app_integration.transaction import Awaited, Direct

P = ParamSpec("P")


def to_message(message: Message, *, id: UUID | None = None, deliver_after: datetime | None = None) -> NewMessage:  # noqa: A002
    """Make of a registered model what `app_integration.enqueue_many` takes.

    Args:
        message: what to tell.
        id: its public identity; a new one unless given.
        deliver_after: not before this time, if given.

    Raises:
        InvalidMessage: its class is not registered.
    """
    try:
        kind = REGISTRY.of(message)
    except UnknownType as error:
        raise InvalidMessage("message", str(error)) from None
    return NewMessage(
        topic=kind.topic.value,
        payload=message,
        key=kind.key_of(message),
        type=str(kind),
        id=id,
        deliver_after=deliver_after,
    )


@overload
def enqueue_message(
    session: Direct, message: Message, *, id: UUID | None = ..., deliver_after: datetime | None = ...
) -> UUID: ...
@overload
def enqueue_message(
    session: Awaited, message: Message, *, id: UUID | None = ..., deliver_after: datetime | None = ...
) -> Coroutine[Any, Any, UUID]: ...
def enqueue_message(
    session: "Direct | Awaited",
    message: Message,
    *,
    id: UUID | None = None,  # noqa: A002 - the column
    deliver_after: datetime | None = None,
) -> Any:
    """Put any registered message into the outbox, on its topic and under its key.

    Args:
        session: the caller's session or connection.
        message: what to tell.
        id: its public identity; a new one unless given.
        deliver_after: not before this time, if given.

    Returns:
        The message's id; with an asynchronous connection, when awaited.

    Raises:
        EnqueueError: one of its kinds; nothing was written.
    """
    return _enqueue(session, to_message(message, id=id, deliver_after=deliver_after))


def _enqueue(session: Any, new: NewMessage) -> Any:
    return enqueue(
        session, new.topic, new.payload, key=new.key, type=new.type, id=new.id, deliver_after=new.deliver_after
    )


class Enqueues(Generic[P]):
    """A function that makes a message, as one that takes a session first and enqueues it there."""

    def __init__(self, make: Callable[P, NewMessage]) -> None:
        self._make = make
        update_wrapper(self, make)

    @overload
    def __call__(self, session: Direct, /, *args: P.args, **kwargs: P.kwargs) -> UUID: ...
    @overload
    def __call__(self, session: Awaited, /, *args: P.args, **kwargs: P.kwargs) -> Coroutine[Any, Any, UUID]: ...
    def __call__(self, session: Any, /, *args: P.args, **kwargs: P.kwargs) -> Any:
        """Check, and enqueue with the session's transaction."""
        try:
            new = self._make(*args, **kwargs)
        except ValidationError as error:
            raise refused(error) from None
        return _enqueue(session, new)


@Enqueues
def queue_email(
    *,
    to: str,
    subject: str,
    template: str,
    data: Mapping[str, Any],
    user_id: str | None = None,
    deliver_after: datetime | None = None,
) -> NewMessage:
    """Have a mail sent, once the session's transaction commits. The session comes first.

    Args:
        to: the address, without a name.
        subject: one line.
        template: one of `templates()`.
        data: at least the variables that the template needs.
        user_id: whose mail it is; mails of one user stay in order.
        deliver_after: not before this time, if given.
    """
    email = Email(to=to, subject=subject, template=template, data=dict(data), user_id=user_id)
    check_template(template, data)
    return to_message(email, deliver_after=deliver_after)


@Enqueues
def track_event(
    *, user_id: str, event: str, properties: Mapping[str, Any] | None = None, occurred_at: datetime | None = None
) -> NewMessage:
    """Have something counted that a user did, once the session's transaction commits. The session comes first.

    Args:
        user_id: who.
        event: what, as `course_viewed`.
        properties: whatever else is worth knowing.
        occurred_at: when, if not now; a late event is counted where it belongs.
    """
    when = {} if occurred_at is None else {"occurred_at": occurred_at}
    return to_message(AnalyticsEvent(user_id=user_id, event=event, properties=dict(properties or {}), **when))


@Enqueues
def log_audit(
    *,
    user_id: str | None,
    action: str,
    resource: str,
    details: Mapping[str, Any] | None = None,
    chain: str = "main",
) -> NewMessage:
    """Have something put on record, once the session's transaction commits. The session comes first.

    Args:
        user_id: who did it; None for the system itself.
        action: what, as `profile_updated`.
        resource: to what kind of thing.
        details: whatever else must be provable.
        chain: which chain of records it belongs to; one chain is in order, and is as fast as one partition.
    """
    return to_message(
        AuditEntry(user_id=user_id, action=action, resource=resource, details=dict(details or {}), chain=chain)
    )


@Enqueues
def queue_notification(
    *,
    user_id: str,
    type: str,  # noqa: A002 - the guide's name
    title: str,
    message: str,
    deliver_after: datetime | None = None,
) -> NewMessage:
    """Have a user told something, once the session's transaction commits. The session comes first.

    Args:
        user_id: whom.
        type: what kind of news, as `course_reminder`.
        title: one line.
        message: a few lines.
        deliver_after: not before this time, if given: the reminder for a class in an hour.
    """
    told = Notification(user_id=user_id, type=type, title=title, message=message)
    return to_message(told, deliver_after=deliver_after)


@overload
def publish_business_event(session: Direct, event: Message) -> UUID: ...
@overload
def publish_business_event(session: Direct, event: str, fields: Mapping[str, Any]) -> UUID: ...
@overload
def publish_business_event(session: Awaited, event: Message) -> Coroutine[Any, Any, UUID]: ...
@overload
def publish_business_event(session: Awaited, event: str, fields: Mapping[str, Any]) -> Coroutine[Any, Any, UUID]: ...
def publish_business_event(session: Any, event: Message | str, fields: Mapping[str, Any] | None = None) -> Any:
    """Tell the rest of the system what happened, once the session's transaction commits.

    Args:
        session: the caller's session or connection.
        event: a registered event, or the name of one, whose newest version is meant.
        fields: its fields, where the name was given; named as in JSON or as in Python.

    Returns:
        The message's id; with an asynchronous connection, when awaited.

    Raises:
        InvalidMessage: no such event is registered, or a field is not what it should be.
        EnqueueError: others of its kinds; nothing was written.
    """
    new = to_message(_event(event, fields or {}) if isinstance(event, str) else event)
    if new.topic != KAFKA_TOPICS.BUSINESS_EVENTS:
        raise InvalidMessage("event", f"is {new.type}, which belongs on {new.topic}: it is no business event")
    return _enqueue(session, new)


def _event(name: str, fields: Mapping[str, Any]) -> Message:
    try:
        return REGISTRY.newest(name).model.model_validate(dict(fields))
    except UnknownType as error:
        raise InvalidMessage("event", str(error)) from None
    except ValidationError as error:
        raise refused(error) from None
