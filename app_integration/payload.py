"""From the application's values to the bytes that go to Kafka. Pure.

JSON as RFC 8259 has it, in UTF-8, keys in the order given, and nothing approximated: a value either has an
exact form that every language reads alike, or is refused by its path. Knows no table, no topic and no library
beyond the standard one: pydantic models are recognised by their `model_dump`.
"""

import dataclasses
import json
import math
from collections.abc import Callable, Mapping
from datetime import date, datetime, time
from decimal import Decimal
from enum import Enum
from typing import Any, ClassVar, Protocol
from uuid import UUID

from app_integration.errors import PayloadNotSerialisable

JSON = "application/json"
BYTES = "application/octet-stream"


_CONTAINERS = (dict, list, tuple, Mapping)
"""The abstract one last: asking it is ten times slower, and nearly every payload is a dict."""

_EXACT = frozenset({str, int, float, bool, type(None)})
"""The types themselves, not their subclasses, which may be enumerations."""

_encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode


class _Dataclass(Protocol):
    __dataclass_fields__: ClassVar[dict[str, Any]]


class _Model(Protocol):
    def model_dump(self) -> Any: ...


Payload = Mapping[str, Any] | list[Any] | tuple[Any, ...] | _Dataclass | _Model | bytes | None
"""What can be enqueued: JSON (a mapping, list, dataclass or pydantic model), bytes as they are, or None, a
tombstone."""


def serialise(payload: Payload) -> tuple[bytes | None, str | None]:
    """Turn a payload into bytes and the media type that describes them.

    `Decimal` becomes a string with every digit kept, `datetime` (which must know its offset), `date` and
    `time` ISO 8601, `UUID` a string, `Enum` its value; dataclasses and pydantic models become objects and
    follow the same rules.

    Args:
        payload: a mapping, list, tuple, dataclass, pydantic model, bytes, or None for a tombstone.

    Returns:
        The bytes and their media type; both None for a tombstone.

    Raises:
        PayloadNotSerialisable: naming the path of the first value without an exact JSON form.
    """
    if payload is None:
        return None, None
    if isinstance(payload, bytes):
        return payload, BYTES
    if not _is_document(payload):
        raise PayloadNotSerialisable(
            "payload",
            f"is {_name(payload)}; allowed are a mapping, list, dataclass, pydantic model, bytes, or None",
        )
    try:
        return _written(payload), JSON
    except RecursionError:
        raise PayloadNotSerialisable("payload", "is nested deeper than Python can follow; flatten it") from None


def _written(payload: Any) -> bytes:
    try:
        if _is_plain(payload):
            return _encode(payload).encode()
    except (ValueError, RecursionError):
        # Not a number, half a character, or nested in itself: which of them and where is found out below.
        pass
    return _encode(_plain(payload, "payload", ())).encode()


def _is_plain(value: Any) -> bool:
    """Tell whether `json` writes a value as it is, or refuses it: most payloads, in a fifth of the time of `_plain`."""
    kind = type(value)
    if kind is dict:
        for key in value:
            if type(key) is not str:
                return False
        value = value.values()
    elif kind is not list and kind is not tuple:
        return False
    for item in value:  # noqa: SIM110 - a generator would take half as long again
        if type(item) not in _EXACT and not _is_plain(item):
            return False
    return True


def _is_document(value: Any) -> bool:
    return isinstance(value, _CONTAINERS) or (
        not isinstance(value, type) and (hasattr(value, "model_dump") or dataclasses.is_dataclass(value))
    )


def _plain(value: Any, path: str, around: tuple[int, ...]) -> Any:
    """Make what `json` writes exactly; `around` are the containers that this value lies in."""
    convert = _SCALARS.get(type(value))
    if convert is not None:
        return convert(value, path)
    if _is_document(value):
        if id(value) in around:
            raise PayloadNotSerialisable(path, "contains itself; JSON has no references")
        return _container(value, path, (*around, id(value)))
    for kind, convert in _SCALARS.items():
        if isinstance(value, kind):
            return convert(value, path)
    raise PayloadNotSerialisable(path, f"is {_name(value)}, which has no JSON form; convert it before enqueueing")


def _container(value: Any, path: str, around: tuple[int, ...]) -> Any:
    if hasattr(value, "model_dump"):
        try:
            dumped = value.model_dump()
        except ValueError as error:
            raise PayloadNotSerialisable(path, f"cannot be dumped by pydantic: {error}") from None
        return _plain(dumped, path, around)
    if isinstance(value, Mapping):
        return {_key(key, path): _plain(item, f"{path}.{key}", around) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item, f"{path}[{index}]", around) for index, item in enumerate(value)]
    return {
        field.name: _plain(getattr(value, field.name), f"{path}.{field.name}", around)
        for field in dataclasses.fields(value)
    }


def _key(key: Any, path: str) -> str:
    if not isinstance(key, str):
        raise PayloadNotSerialisable(path, f"has the key {key!r}, {_name(key)}; JSON keys are text")
    return _text(key.value if isinstance(key, Enum) else key, f"{path}.{key}")


def _text(value: str, path: str) -> str:
    try:
        value.encode()
    except UnicodeEncodeError as error:
        surrogate = value[error.start]
        raise PayloadNotSerialisable(
            path.encode(errors="backslashreplace").decode(),
            f"has {surrogate!r} at position {error.start}, half a character that UTF-8 cannot carry",
        ) from None
    return value


def _float(value: float, path: str) -> float:
    if not math.isfinite(value):
        raise PayloadNotSerialisable(path, f"is {value}, which is not a JSON number (RFC 8259, section 6)")
    return value


def _decimal(value: Decimal, path: str) -> str:
    if not value.is_finite():
        raise PayloadNotSerialisable(path, f"is Decimal('{value}'), which is not a number")
    return str(value)


def _datetime(value: datetime, path: str) -> str:
    if value.utcoffset() is None:
        raise PayloadNotSerialisable(
            path,
            f"is {value!r}, without a time zone; its reader would have to guess. Use datetime.now(UTC)",
        )
    return value.isoformat()


_SCALARS: dict[type, Callable[[Any, str], Any]] = {
    # An enumeration first and a datetime before a date: a value may be an instance of both.
    Enum: lambda value, path: _plain(value.value, path, ()),
    str: _text,
    bool: lambda value, _: value,
    int: lambda value, _: int(value),
    float: _float,
    type(None): lambda value, _: value,
    Decimal: _decimal,
    datetime: _datetime,
    date: lambda value, _: value.isoformat(),
    time: lambda value, _: value.isoformat(),
    UUID: lambda value, _: str(value),
}


def _name(value: Any) -> str:
    kind = value if isinstance(value, type) else type(value)
    qualified = kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
    return f"the class {qualified}" if isinstance(value, type) else f"a {qualified}"
