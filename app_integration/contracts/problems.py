"""Puts pydantic's complaints into our own words. Pure.

What somebody entered is not repeated: it may be a secret, and it may be long.
"""

from pydantic import ValidationError

from app_integration.errors import InvalidMessage


def told(error: ValidationError) -> tuple[str, str]:
    """Give the field of the first complaint, by the name by which it was given, and what is wrong with it."""
    first = error.errors(include_url=False, include_input=False)[0]
    field = ".".join(str(part) for part in first["loc"]) or "message"
    return field, first["msg"].removeprefix("Value error, ")


def refused(error: ValidationError) -> InvalidMessage:
    """Make the error that an enqueueing call raises."""
    return InvalidMessage(*told(error))
