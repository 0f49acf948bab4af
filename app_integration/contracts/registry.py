"""Which types of message there are: a name and a version, on one topic, with one model. Pure.

A type's name and version travel in the header `ce_type`, as `user_registered.v1`: a consumer knows what it has
before it parses, and one that only knows version 1 can tell that version 2 is beyond it. The body says neither. The
name is unique over all topics. Within a version only optional fields may be added (`schemas.incompatible`); whatever
else changes is a new version, a class of its own, registered beside the old one as long as messages of it may come.

    @business_event("course_rated", version=1)
    class CourseRated(Message):
        user_id: Identifier
        course_id: Identifier
        stars: int
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeVar

from app_integration.contracts.fields import Contract
from app_integration.contracts.topics import KafkaTopic

_TYPE = re.compile(r"([a-z][a-z0-9_]*)\.v([1-9][0-9]{0,5})")


class Message(Contract):
    """What can be enqueued once it is registered: the base of every message's model."""


M = TypeVar("M", bound=type[Message])


@dataclass(frozen=True, slots=True)
class MessageType:
    """A registered type.

    Args:
        name: what happened or is asked for, as `user_registered`.
        version: from 1.
        topic: the one topic on which it travels.
        key: the fields of which the first that has a value is the message's key; none, and it has no order.
        model: its fields.
    """

    name: str
    version: int
    topic: KafkaTopic
    key: tuple[str, ...]
    model: type[Message]

    def __str__(self) -> str:
        """The `ce_type` of its messages."""
        return f"{self.name}.v{self.version}"

    def key_of(self, message: Message) -> str | None:
        """Give the Kafka key of a message of this type."""
        values = (getattr(message, field) for field in self.key)
        return next((value for value in values if value is not None), None)


class UnknownType(LookupError):
    """No such type is registered. `newest` is the newest version of that name, or 0 if there is none."""

    def __init__(self, problem: str, newest: int = 0) -> None:
        super().__init__(problem)
        self.newest = newest


class Registry:
    """The types that a process knows; most have one, `REGISTRY`."""

    def __init__(self) -> None:
        self._types: dict[tuple[str, int], MessageType] = {}
        self._by_model: dict[type[Message], MessageType] = {}

    def message_type(
        self, name: str, *, version: int, topic: KafkaTopic, key: str | tuple[str, ...]
    ) -> Callable[[M], M]:
        """Register the decorated model; see `MessageType` for the arguments.

        Raises:
            ValueError: the name, the version or the key cannot be, or something else has the name.
        """
        fields = (key,) if isinstance(key, str) else key

        def register(model: M) -> M:
            self._add(MessageType(name, version, topic, fields, model))
            return model

        return register

    def business_event(self, name: str, *, version: int, key: str = "user_id") -> Callable[[M], M]:
        """Register the decorated model as a business event, keyed by its user unless said otherwise."""
        return self.message_type(name, version=version, topic=KafkaTopic.BUSINESS_EVENTS, key=key)

    def _add(self, new: MessageType) -> None:
        if not _TYPE.fullmatch(str(new)):
            raise ValueError(
                f"{new} is no type; allowed are small letters, digits and underscores, and a version from 1"
            )
        if missing := [field for field in new.key if field not in new.model.model_fields]:
            raise ValueError(f"{new}: the key {missing[0]!r} is not a field of {new.model.__name__}")
        for other in self:
            if other.name == new.name and (other.version == new.version or other.topic != new.topic):
                raise ValueError(
                    f"{new} on {new.topic}: {other.model.__qualname__} is {other} on {other.topic} already"
                )
        self._types[new.name, new.version] = new
        self._by_model[new.model] = new

    def __iter__(self) -> Iterator[MessageType]:
        return iter(self._types.values())

    def of(self, message: Message) -> MessageType:
        """Give the type of a message.

        Raises:
            UnknownType: its class is not registered.
        """
        found = self._by_model.get(type(message))
        if found is None:
            raise UnknownType(f"{type(message).__qualname__} is not registered; decorate it with @business_event(...)")
        return found

    def newest(self, name: str) -> MessageType:
        """Give the newest version of a name.

        Raises:
            UnknownType: there is none; the text names what there is.
        """
        versions = [found for found in self if found.name == name]
        if not versions:
            known = ", ".join(sorted({found.name for found in self}))
            raise UnknownType(f"{name!r} is not registered; known are {known}")
        return max(versions, key=lambda found: found.version)

    def find(self, ce_type: str) -> MessageType:
        """Look a type up by its `ce_type`.

        Raises:
            UnknownType: it is not registered; `newest` tells whether an other version is.
        """
        written = _TYPE.fullmatch(ce_type)
        if written is None:
            raise UnknownType(f"{ce_type!r} is no type; types look like user_registered.v1")
        found = self._types.get((written[1], int(written[2])))
        if found is None:
            newest = self.newest(written[1]).version
            raise UnknownType(f"{ce_type} is not registered; known of {written[1]} is v{newest}", newest)
        return found


REGISTRY = Registry()
message_type = REGISTRY.message_type
business_event = REGISTRY.business_event
