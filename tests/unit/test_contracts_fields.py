"""What messages may contain: each field is checked where it is written, and no slip of the pen gets lost."""

from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from app_integration.contracts import AnalyticsEvent, CourseEnrolled, Email, Money, Notification, UserRegistered
from app_integration.payload import serialise

EMAIL: dict[str, Any] = {"to": "ada@example.com", "subject": "Hi", "template": "welcome", "data": {}}


def refusal(model: Any, **fields: Any) -> str:
    with pytest.raises(ValidationError) as refused:
        model(**fields)
    return str(refused.value)


@pytest.mark.parametrize(
    "address",
    [
        "",
        "ada",
        "ada@",
        "@example.com",
        "a@b@example.com",
        "ada@example.com\nBcc: eve@example.com",
        "Ada <ada@example.com>",
        "ada@localhost",
        "ada@exam ple.com",
        "ädä@example.com",
        "a" * 250 + "@example.com",
        "ada@example.com\0",
    ],
)
def test_what_is_no_address_is_refused_and_not_repeated(address: str) -> None:
    text = refusal(Email, **{**EMAIL, "to": address})
    assert text.splitlines()[1] == "to"
    assert "input_value" not in text


def test_an_address_has_its_domain_in_small_letters() -> None:
    assert Email(**{**EMAIL, "to": "Ada@EXAMPLE.com"}).to == "Ada@example.com"


@pytest.mark.parametrize("break_", ["\r\n", "\n", "\r", "\x0b", "\x85", "\u2028", "\u2029", "\0", "\x1b"])
@pytest.mark.parametrize("model", [Email, Notification])
def test_no_header_is_injected_by_a_line_break(model: Any, break_: str) -> None:
    fields = (
        {**EMAIL, "subject": f"Hi{break_}Bcc: eve@example.com"}
        if model is Email
        else {"user_id": "1", "type": "news", "title": f"Hi{break_}there", "message": "x"}
    )
    assert "one line of text" in refusal(model, **fields) or "NUL" in refusal(model, **fields)


@pytest.mark.parametrize("value", ["a\0b", "\ud800", {"deep": ["x\0"]}, {"x\0": 1}])
def test_free_data_that_postgresql_could_not_store_is_refused(value: Any) -> None:
    assert "data" in refusal(Email, **{**EMAIL, "data": {"value": value}})


def test_free_data_without_a_bottom_is_refused() -> None:
    endless: dict[str, Any] = {}
    endless["again"] = endless
    assert "nested deeper than 32" in refusal(AnalyticsEvent, user_id="1", event="seen", properties=endless)


def test_a_misspelt_field_is_refused() -> None:
    assert "Extra inputs" in refusal(Email, **EMAIL, subjekt="Hi")


def test_numbers_and_uuids_become_text_for_javascript_would_round_them() -> None:
    uuid = UUID(int=7)
    event = UserRegistered.model_validate({"userId": 2**60, "email": "ada@example.com", "userType": "student"})
    assert event.user_id == str(2**60)
    assert AnalyticsEvent.model_validate({"user_id": uuid, "event": "seen"}).user_id == str(uuid)
    assert "valid string" in refusal(AnalyticsEvent, user_id=True, event="seen")


def test_a_time_without_a_zone_is_refused() -> None:
    naive = datetime(2026, 1, 1)  # noqa: DTZ001 - that is the point
    assert "timezone" in refusal(AnalyticsEvent, user_id="1", event="seen", occurred_at=naive)


@pytest.mark.parametrize("amount", [49.0, True, "49.001", "-1", "NaN", "Infinity", "1e400", "x", None, "9" * 40])
def test_what_is_no_exact_amount_is_refused(amount: Any) -> None:
    assert "Money" in refusal(Money, amount=amount, currency="EUR")


@pytest.mark.parametrize(
    ("amount", "currency", "written"),
    [("49", "EUR", "49.00"), (49, "JPY", "49"), (Decimal("1E+2"), "EUR", "100.00"), ("0.5", "KWD", "0.500")],
)
def test_an_amount_has_the_places_of_its_currency(amount: Any, currency: str, written: str) -> None:
    money = Money(amount=amount, currency=currency)
    body, _ = serialise(CourseEnrolled(user_id="1", course_id="2", price=money))
    assert f'"price":{{"amount":"{written}","currency":"{currency}"}}' in (body or b"").decode()


@given(st.decimals(0, 10**12, places=2))
def test_every_amount_survives_json_unchanged(amount: Decimal) -> None:
    money = Money(amount=amount, currency="EUR")
    body, _ = serialise(money)
    assert Money.model_validate_json(body or b"") == money
    assert Money.model_validate_json(body or b"").amount == amount
