"""What can go wrong, told to two kinds of people. Pure.

RealtimeError
├── UserMistake      exit code 2, to the operator: mend the call, the settings or the set-up
├── WorkFailed       exit code 1, to the operator: the set-up was right, the work did not get done
└── Refusal          to a client, as the answer to what it asked; nothing was done
"""

from typing import Any


class RealtimeError(Exception):
    """Root of the errors that this package raises on purpose."""


class UserMistake(RealtimeError):
    """The set-up, the settings or the call are wrong; trying again will not help."""


class WorkFailed(RealtimeError):
    """The set-up was right but the work did not get done."""


class Refusal(RealtimeError):
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
