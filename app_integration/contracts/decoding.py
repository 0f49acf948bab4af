"""What a consumer does first: from a Kafka message to its model, or to one error that says what is wrong. Pure.

Fields that this version does not know are ignored: a producer may have been deployed before its consumer. Whatever
comes out has passed the same checks as at its enqueueing, for not everybody who can write to a topic is ours.
"""

import json
from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Any

from pydantic import ValidationError

from app_integration.contracts.problems import told
from app_integration.contracts.registry import REGISTRY, Message, MessageType, Registry, UnknownType

Headers = Mapping[str, str | bytes] | Iterable[tuple[str, str | bytes | None]] | None
"""As confluent-kafka gives them (pairs), or others do (a mapping)."""


class Reason(StrEnum):
    """Why a message cannot be decoded."""

    MALFORMED = "malformed"
    """The value is no JSON object in UTF-8. It will never be one."""
    UNKNOWN_TYPE = "unknown-type"
    """No `ce_type`, or one that is not registered, or not for this topic."""
    FUTURE_VERSION = "future-version"
    """A newer version of a registered type. A newer consumer will know it: keep it, do not drop it."""
    INVALID = "invalid"
    """A field is missing or not what it should be."""


class UndecodableMessage(ValueError):
    """A Kafka message that is not what its topic promises.

    Args:
        reason: what kind of fault, for a consumer that decides by it.
        problem: what was found and what is expected, for people.
    """

    def __init__(self, reason: Reason, problem: str) -> None:
        super().__init__(f"{reason}: {problem}")
        self.reason = reason
        self.problem = problem


def decode(topic: str, headers: Headers, value: bytes | str | None, *, registry: Registry = REGISTRY) -> Message:
    """Turn a Kafka message into its model.

    Args:
        topic: the logical topic that it was enqueued for, also where it now lies in one for retries.
        headers: its headers; `ce_type` is needed, which the relay writes unless set to `headers = "id"`.
        value: its value.
        registry: the types that are known.

    Raises:
        UndecodableMessage: it is no such thing; `reason` tells why.
    """
    kind = _type(topic, _ce_type(headers), registry)
    document = _parse(value)
    try:
        return kind.model.model_validate(document, extra="ignore", by_alias=True, by_name=False)
    except ValidationError as error:
        field, problem = told(error)
        raise UndecodableMessage(Reason.INVALID, f"{kind}: {field}: {problem}") from None


def _ce_type(headers: Headers) -> str:
    pairs = headers.items() if isinstance(headers, Mapping) else headers or ()
    for name, value in pairs:
        if name == "ce_type" and value is not None:
            return value if isinstance(value, str) else value.decode(errors="backslashreplace")
    raise UndecodableMessage(Reason.UNKNOWN_TYPE, "there is no header ce_type, which names the type and its version")


def _type(topic: str, ce_type: str, registry: Registry) -> MessageType:
    try:
        found = registry.find(ce_type)
    except UnknownType as error:
        version = int(ce_type.rpartition(".v")[2]) if error.newest else 0
        reason = Reason.FUTURE_VERSION if version > error.newest else Reason.UNKNOWN_TYPE
        raise UndecodableMessage(reason, str(error)) from None
    if found.topic != topic:
        raise UndecodableMessage(Reason.UNKNOWN_TYPE, f"{ce_type} belongs on {found.topic}, this is {topic}")
    return found


def _parse(value: bytes | str | None) -> dict[str, Any]:
    if value is None:
        raise UndecodableMessage(Reason.MALFORMED, "there is no value; tombstones mean nothing here")
    try:
        document = json.loads(value, parse_constant=_refuse)
    except RecursionError:
        raise UndecodableMessage(Reason.MALFORMED, "the value is nested too deep to be read") from None
    except ValueError as error:
        raise UndecodableMessage(Reason.MALFORMED, f"the value is not JSON in UTF-8: {error}") from None
    if not isinstance(document, dict):
        raise UndecodableMessage(Reason.MALFORMED, f"the value is a JSON {type(document).__name__}, not an object")
    return document


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not a JSON number (RFC 8259, section 6)")
