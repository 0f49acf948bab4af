"""From a received message to its model, or to a verdict: what no worker of ours can read is dead at once."""

from typing import TypeVar

from app_integration.contracts import KafkaTopic, Message, UndecodableMessage, decode
from app_integration.workers.received import Received
from app_integration.workers.verdict import Reject

M = TypeVar("M", bound=Message)


def read(message: Received, model: type[M], topic: KafkaTopic) -> M:
    """Decode a message.

    Args:
        message: from whatever topic in Kafka.
        model: what it must be.
        topic: the logical topic that it was enqueued for.

    Raises:
        Reject: it is malformed, of an unknown type or of a version that this release does not know. It is kept with the
            dead ones: a newer release can have it replayed.
    """
    try:
        found = decode(topic, message.headers, message.value)
    except UndecodableMessage as error:
        raise Reject(str(error)) from None
    if not isinstance(found, model):
        raise Reject(f"is a {type(found).__name__}; this worker handles {model.__name__}")
    return found
