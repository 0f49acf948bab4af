"""The messages of Edu Matrix: four queues' own, and the business events that the application begins with.

An application adds its own events in a module of its own, with `@business_event`. Times are of what happened, not of
when somebody heard of it.
"""

from datetime import UTC, datetime

from pydantic import AwareDatetime, Field

from app_integration.contracts.fields import EmailAddress, FreeForm, Identifier, Line, Money, Prose, Slug
from app_integration.contracts.registry import Message, business_event, message_type
from app_integration.contracts.topics import KAFKA_TOPICS


def _now() -> datetime:
    return datetime.now(UTC)


@message_type("email", version=1, topic=KAFKA_TOPICS.EMAIL_QUEUE, key=("user_id", "to"))
class Email(Message):
    """A mail to send: a template, and what fills it."""

    to: EmailAddress
    subject: Line
    template: Slug
    data: FreeForm = Field(default_factory=dict)
    user_id: Identifier | None = None


@message_type("analytics_event", version=1, topic=KAFKA_TOPICS.ANALYTICS_EVENTS, key="user_id")
class AnalyticsEvent(Message):
    """Something that a user did, to be counted."""

    user_id: Identifier
    event: Slug
    properties: FreeForm = Field(default_factory=dict)
    occurred_at: AwareDatetime = Field(default_factory=_now)


@message_type("audit_entry", version=1, topic=KAFKA_TOPICS.AUDIT_LOGS, key="chain")
class AuditEntry(Message):
    """Something that must be provable later. The entries of one chain are in order; by default all are in one."""

    user_id: Identifier | None = None
    """Who did it; None for the system itself."""
    action: Slug
    resource: Line
    details: FreeForm = Field(default_factory=dict)
    chain: Identifier = "main"
    occurred_at: AwareDatetime = Field(default_factory=_now)


@message_type("notification", version=1, topic=KAFKA_TOPICS.NOTIFICATION_QUEUE, key="user_id")
class Notification(Message):
    """Something to tell a user, now if they are there and else when they come."""

    user_id: Identifier
    type: Slug
    title: Line
    message: Prose


@business_event("user_registered", version=1)
class UserRegistered(Message):
    """Somebody has an account."""

    user_id: Identifier
    email: EmailAddress
    user_type: Slug


@business_event("payment_completed", version=1)
class PaymentCompleted(Message):
    """A payment was taken."""

    user_id: Identifier
    payment_id: Identifier
    amount: Money


@business_event("course_enrolled", version=1)
class CourseEnrolled(Message):
    """A user has access to a course."""

    user_id: Identifier
    course_id: Identifier
    enrollment_date: AwareDatetime = Field(default_factory=_now)
    price: Money | None = None
    """What was paid; None for a course that costs nothing or was given."""
