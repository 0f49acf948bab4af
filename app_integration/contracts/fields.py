"""What the fields of messages are made of, each with its check. Pure.

Guarantees: whatever has passed can be written as JSON, stored by PostgreSQL in `text` and `jsonb` (so no NUL and no
half characters), and put into a header of a mail (so no line break in what is one line). Knows no message.
"""

import unicodedata
from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated, Any, Self
from uuid import UUID

from email_validator import EmailNotValidError, validate_email
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    WithJsonSchema,
    model_validator,
)
from pydantic.alias_generators import to_camel

DEEPEST = 32
"""How deep free-form data may be nested: far more than people write, far less than makes a parser give up."""


class Contract(BaseModel):
    """Something with fields that producers and consumers agree on: camelCase in JSON, snake_case in Python.

    A field that is not there is refused, so that a slip of the pen does not get lost; consumers, which may be older
    than the producer, ignore it (`app_integration.contracts.decoding`).
    """

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        alias_generator=to_camel,
        validate_by_name=True,
        validate_by_alias=True,
        serialize_by_alias=True,
        # Errors must not repeat what somebody entered, which may be a secret.
        hide_input_in_errors=True,
    )


def _storable(text: str) -> str:
    if "\0" in text:
        raise ValueError("has the character NUL, which PostgreSQL cannot store")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError("has half a character, which UTF-8 cannot carry") from None
    return text


def _one_line(text: str) -> str:
    for character in _storable(text):
        # Cc: control characters, among them CR and LF, which would begin another header; Zl, Zp: line separators.
        if unicodedata.category(character) in {"Cc", "Zl", "Zp"}:
            raise ValueError(f"has {character!r}; allowed is one line of text without control characters")
    return text


def _identifier(value: Any) -> Any:
    # A number or UUID is what a database makes; in JSON it is text, since JavaScript rounds what is above 2**53.
    return str(value) if isinstance(value, UUID) or type(value) is int else value


def _address(text: str) -> str:
    try:
        # Not over the network: whether anybody is there is found out by writing to them.
        found = validate_email(text, check_deliverability=False, allow_smtputf8=False)
    except EmailNotValidError as error:
        raise ValueError(f"is no e-mail address: {error}") from None
    # The domain as DNS and every mail server know it: müller.de is xn--mller-kva.de (RFC 5891).
    return str(found.ascii_email)


def _free(value: dict[str, Any]) -> dict[str, Any]:
    _walk(value, DEEPEST)
    return value


def _walk(value: Any, deeper: int) -> None:
    if isinstance(value, str):
        _storable(value)
    elif isinstance(value, Mapping | list | tuple):
        if not deeper:
            raise ValueError(f"is nested deeper than {DEEPEST} levels")
        for item in value:
            _walk(item, deeper - 1)
        for item in value.values() if isinstance(value, Mapping) else ():
            _walk(item, deeper - 1)


Identifier = Annotated[
    str, BeforeValidator(_identifier), StringConstraints(min_length=1, max_length=200), AfterValidator(_one_line)
]
"""The name of a user, course, payment … in its table; text, also where the table has numbers or UUIDs."""

Line = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200), AfterValidator(_one_line)]
"""One line that a person reads: a name, a subject, a title."""

Prose = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=4_000), AfterValidator(_storable)
]
"""Text that may have several lines."""

Slug = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9]*(_[a-z0-9]+)*$", max_length=100)]
"""A name that programs compare, as `course_viewed`."""

EmailAddress = Annotated[
    str,
    StringConstraints(max_length=254),
    AfterValidator(_address),
    WithJsonSchema({"type": "string", "format": "email", "maxLength": 254}),
]
"""An address without a name (RFC 5321 as `email-validator` reads it), its domain in small letters and in ASCII."""

FreeForm = Annotated[dict[str, Any], AfterValidator(_free), WithJsonSchema({"type": "object"})]
"""An object whose fields are the application's own."""

_WHOLE = frozenset(
    {"BIF", "CLP", "DJF", "GNF", "ISK", "JPY", "KMF", "KRW", "PYG", "RWF", "UGX", "VND", "VUV", "XAF", "XOF", "XPF"}
)
_THREE = frozenset({"BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"})
"""The currencies that do not have two decimal places, but none or three (ISO 4217, list one)."""


def decimal_places(currency: str) -> int:
    """Tell how many decimal places a currency has."""
    return 0 if currency in _WHOLE else 3 if currency in _THREE else 2


def _exact(value: Any) -> Any:
    if isinstance(value, float | bool):
        # 0.1 is no tenth: whoever has a float has lost the amount already.
        raise ValueError("is not exact; allowed are Decimal, a whole number, or text such as '49.00'")  # noqa: TRY004
    return value


class Money(Contract):
    """An amount, never a float, with its currency; in JSON `{"amount": "49.00", "currency": "EUR"}`.

    The amount has the places that its currency has, no more and no fewer, and fits into `numeric(18, 3)`.
    """

    amount: Annotated[
        Decimal,
        BeforeValidator(_exact),
        Field(ge=0, lt=10**15, max_digits=18),
        WithJsonSchema({"type": "string", "pattern": r"^\d+(\.\d+)?$"}),
    ]
    currency: Annotated[str, StringConstraints(pattern=r"^[A-Z]{3}$")]

    @model_validator(mode="after")
    def _has_its_places(self) -> Self:
        places = decimal_places(self.currency)
        amount = self.amount.quantize(Decimal(1).scaleb(-places))
        if amount != self.amount:
            raise ValueError(f"{self.currency} has {places} decimal places, {self.amount} has more")
        # The model is frozen for its users; this is still its making.
        object.__setattr__(self, "amount", amount)
        return self

    def __str__(self) -> str:
        return f"{self.amount} {self.currency}"
