"""What Edu Matrix's producers and consumers agree on, and the guide's five functions. Needs the extra `contracts`.

Law: no I/O and no Kafka here, and nothing of the relay. `app_integration` itself imports none of this. Topics are in
`topics`, the checks of fields in `fields`, types and versions in `registry`, the messages in `messages`, templates of
mails in `templates`; `enqueueing` is for who tells, `decoding` for who hears, `schemas` for everybody else.
"""

from app_integration.contracts.decoding import Headers, Reason, UndecodableMessage, decode
from app_integration.contracts.enqueueing import (
    enqueue_message,
    log_audit,
    publish_business_event,
    queue_email,
    queue_notification,
    to_message,
    track_event,
)
from app_integration.contracts.fields import (
    Contract,
    EmailAddress,
    FreeForm,
    Identifier,
    Line,
    Money,
    Prose,
    Slug,
)
from app_integration.contracts.messages import (
    AnalyticsEvent,
    AuditEntry,
    CourseEnrolled,
    Email,
    Notification,
    PaymentCompleted,
    UserRegistered,
)
from app_integration.contracts.registry import (
    REGISTRY,
    Message,
    MessageType,
    Registry,
    UnknownType,
    business_event,
    message_type,
)
from app_integration.contracts.templates import check_template, template, templates
from app_integration.contracts.topics import KAFKA_TOPICS, PLANS, KafkaTopic, TopicPlan, relay_toml

__all__ = [
    "KAFKA_TOPICS",
    "PLANS",
    "REGISTRY",
    "AnalyticsEvent",
    "AuditEntry",
    "Contract",
    "CourseEnrolled",
    "Email",
    "EmailAddress",
    "FreeForm",
    "Headers",
    "Identifier",
    "KafkaTopic",
    "Line",
    "Message",
    "MessageType",
    "Money",
    "Notification",
    "PaymentCompleted",
    "Prose",
    "Reason",
    "Registry",
    "Slug",
    "TopicPlan",
    "UndecodableMessage",
    "UnknownType",
    "UserRegistered",
    "business_event",
    "check_template",
    "decode",
    "enqueue_message",
    "log_audit",
    "message_type",
    "publish_business_event",
    "queue_email",
    "queue_notification",
    "relay_toml",
    "template",
    "templates",
    "to_message",
    "track_event",
]
