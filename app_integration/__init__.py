"""What applications import: put a message into the outbox inside the transaction that makes it true.

Law: this side writes rows and never talks to Kafka; of the relay it knows the table (`relay.schema`) and
nothing else. Names are loaded when first used, so that a test run which merely has this package installed
pays nothing for its pytest plugin.

    from app_integration import enqueue

    session.add(order)
    enqueue(session, "orders", {"id": order.id}, key=str(order.id), type="order.placed")
    session.commit()
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from app_integration.errors import (
        ConfigurationError,
        EnqueueError,
        InvalidMessage,
        MessageTooLarge,
        NoTransaction,
        PayloadNotSerialisable,
        UnknownTopic,
        UnwrittenMessages,
        WrongDatabase,
    )
    from app_integration.message import NewMessage
    from app_integration.outbox import Outbox, enqueue, enqueue_many
    from app_integration.payload import Payload
    from app_integration.topics import Topic

__all__ = [
    "ConfigurationError",
    "EnqueueError",
    "InvalidMessage",
    "MessageTooLarge",
    "NewMessage",
    "NoTransaction",
    "Outbox",
    "Payload",
    "PayloadNotSerialisable",
    "Topic",
    "UnknownTopic",
    "UnwrittenMessages",
    "WrongDatabase",
    "enqueue",
    "enqueue_many",
]

_HOMES = {
    "NewMessage": "message",
    "Outbox": "outbox",
    "Payload": "payload",
    "Topic": "topics",
    "enqueue": "outbox",
    "enqueue_many": "outbox",
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOMES.get(name, 'errors')}"), name)
    globals()[name] = value
    return value
