"""What a client is told that does not get what it asked for. Pure.

An operator's errors are those of `relay.errors`, as elsewhere.
"""

from typing import Any


class Refusal(Exception):
    """A client does not get what it asked for.

    Args:
        code: for programs, one of those listed in the docs.
        message: for people: what was found and what is allowed.
        details: more for programs, such as `limit` or `field`.
    """

    def __init__(self, code: str, message: str, **details: Any) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.details = details

    @property
    def error(self) -> dict[str, Any]:
        """What the client is told."""
        return {"code": self.code, "message": self.message, **self.details}
