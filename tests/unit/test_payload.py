"""What becomes of a payload: exactly the same in JSON, or refused by its path."""

import dataclasses
import enum
import json
from collections import OrderedDict
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from types import MappingProxyType
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, RootModel, SecretStr, field_serializer

from app_integration import InvalidMessage, PayloadNotSerialisable
from app_integration.payload import serialise


class Colour(enum.Enum):
    RED = "red"


class Level(enum.IntEnum):
    HIGH = 3


class Name(enum.StrEnum):
    FIRST = "first"


@dataclasses.dataclass(frozen=True, slots=True)
class Line:
    price: Decimal
    colour: Colour = Colour.RED


class Order(BaseModel):
    id: UUID
    total: Decimal
    paid_at: datetime
    lines: list[Line] = []


NOON = datetime(2026, 1, 2, 12, 0, 0, 5, tzinfo=UTC)
ID = UUID("01890a5d-ac96-774b-bcce-b302099a8057")

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


def read(payload: Any) -> Any:
    data, content_type = serialise(payload)
    assert content_type == "application/json"
    assert data is not None
    return json.loads(data)


@given(st.dictionaries(st.text(), json_values))
def test_json_comes_back_as_it_was(payload: dict[str, Any]) -> None:
    assert read(payload) == payload


@given(st.decimals(allow_nan=False, allow_infinity=False))
def test_a_decimal_keeps_every_digit(value: Decimal) -> None:
    text = read({"value": value})["value"]
    assert isinstance(text, str)
    assert Decimal(text).as_tuple() == value.as_tuple()


@given(st.datetimes(timezones=st.timezones()))
def test_an_aware_datetime_comes_back_as_the_same_moment(value: datetime) -> None:
    text = read([value])[0]
    assert datetime.fromisoformat(text) == value.replace(tzinfo=timezone(value.utcoffset() or timedelta()))


@given(st.binary())
def test_bytes_go_as_they_are(payload: bytes) -> None:
    assert serialise(payload) == (payload, "application/octet-stream")


def test_none_is_a_tombstone() -> None:
    assert serialise(None) == (None, None)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (date(2026, 1, 2), "2026-01-02"),
        (time(9, 30), "09:30:00"),
        (NOON, "2026-01-02T12:00:00.000005+00:00"),
        (ID, str(ID)),
        (Colour.RED, "red"),
        (Level.HIGH, 3),
        (Name.FIRST, "first"),
        (True, True),
        ((1, 2), [1, 2]),
        (MappingProxyType({"a": 1}), {"a": 1}),
        (OrderedDict(b=1, a=2), {"b": 1, "a": 2}),
        (Line(Decimal("1.10")), {"price": "1.10", "colour": "red"}),
        ({Name.FIRST: 1}, {"first": 1}),
    ],
)
def test_values_have_one_form(value: Any, expected: Any) -> None:
    assert read({"value": value}) == {"value": expected}


def test_keys_keep_the_order_given_and_text_stays_readable() -> None:
    assert serialise({"z": "é", "a": "\\n"}) == ('{"z":"é","a":"\\\\n"}'.encode(), "application/json")


def test_a_pydantic_model_follows_the_same_rules() -> None:
    order = Order(id=ID, total=Decimal("1.10"), paid_at=NOON, lines=[Line(Decimal("0.10"))])
    assert read(order) == {
        "id": str(ID),
        "total": "1.10",
        "paid_at": "2026-01-02T12:00:00.000005+00:00",
        "lines": [{"price": "0.10", "colour": "red"}],
    }


def test_a_pydantic_model_inside_a_dict_is_serialised_by_its_own_serialisers() -> None:
    class Card(BaseModel):
        number: str

        @field_serializer("number")
        def mask(self, number: str) -> str:
            return f"…{number[-4:]}"

    assert read({"card": Card(number="4111111111111111")}) == {"card": {"number": "…1111"}}
    assert read(RootModel[list[int]]([1, 2])) == [1, 2]


class Moody(BaseModel):
    mood: str = "bad"

    @field_serializer("mood")
    def refuse(self, _: str) -> str:
        raise ValueError("not today")


def cycle() -> Any:
    payload: dict[str, Any] = {"inner": []}
    payload["inner"].append(payload)
    return payload


def deep() -> Any:
    payload: list[Any] = []
    for _ in range(100_000):
        payload = [payload]
    return payload


@pytest.mark.parametrize(
    ("payload", "field", "found"),
    [
        ({"paid_at": datetime(2026, 1, 2)}, "payload.paid_at", "without a time zone"),  # noqa: DTZ001
        (Order.model_construct(id=ID, paid_at=datetime(2026, 1, 2)), "payload.paid_at", "time zone"),  # noqa: DTZ001
        ({"lines": [{"price": float("nan")}]}, "payload.lines[0].price", "nan"),
        ([1, float("-inf")], "payload[1]", "-inf"),
        ({"d": Decimal("NaN")}, "payload.d", "NaN"),
        ({"d": Decimal("Infinity")}, "payload.d", "Infinity"),
        ({"a": {1: "x"}}, "payload.a", "the key 1, a int"),
        ({None: "x"}, "payload", "the key None"),
        ({"raw": b"x"}, "payload.raw", "a bytes"),
        ({"tags": {"a"}}, "payload.tags", "a set"),
        ({"kind": Line}, "payload.kind", "the class"),
        ({"took": timedelta(1)}, "payload.took", "datetime.timedelta"),
        ({"password": SecretStr("x")}, "payload.password", "pydantic.types.SecretStr"),
        ({"name": "\ud800"}, "payload.name", "half a character"),
        ({"\ud800": 1}, r"payload.\ud800", "half a character"),
        (cycle(), "payload.inner[0]", "contains itself"),
        ({"model": Moody()}, "payload.model", "not today"),
        (deep(), "payload", "nested deeper"),
        ("text", "payload", "is a str"),
        (1, "payload", "is a int"),
        (bytearray(b"x"), "payload", "is a bytearray"),
        (Order, "payload", "the class"),
        (float("nan"), "payload", "a float"),
    ],
)
def test_what_has_no_exact_form_is_refused_by_its_path(payload: Any, field: str, found: str) -> None:
    with pytest.raises(PayloadNotSerialisable) as caught:
        serialise(payload)
    assert caught.value.field == field
    assert found in caught.value.problem
    assert str(caught.value) == f"{field}: {caught.value.problem}"
    assert isinstance(caught.value, InvalidMessage)
    str(caught.value).encode()
