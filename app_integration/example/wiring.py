"""What every request needs, and how a route asks for it. The application carries one `Wiring` in its state."""

from dataclasses import dataclass
from http import HTTPStatus
from typing import Annotated
from uuid import UUID

from fastapi import Depends, Header, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from sqlalchemy.ext.asyncio import AsyncEngine

from app_integration.example.database import Sessions
from app_integration.example.payments import PaymentProvider
from app_integration.example.problems import Problem, unauthorized
from app_integration.tokens import InvalidToken, check_token


@dataclass(frozen=True, slots=True)
class Wiring:
    """What the application is made of."""

    engine: AsyncEngine
    sessions: Sessions
    provider: PaymentProvider
    jwt_secret: str


def _wiring(request: Request) -> Wiring:
    found: Wiring = request.app.state.wiring
    return found


Wired = Annotated[Wiring, Depends(_wiring)]

_bearer = HTTPBearer(auto_error=False, description="of `POST /api/auth/login`")


def _caller(wired: Wired, given: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)]) -> UUID:
    if given is None:
        raise unauthorized("there is no bearer token in the header Authorization")
    try:
        return UUID(check_token(given.credentials, wired.jwt_secret).user_id)
    except (InvalidToken, ValueError):
        raise unauthorized("the token is expired, or none of ours") from None


Caller = Annotated[UUID, Depends(_caller)]
"""The id of the user whose token was sent."""


def _key(idempotency_key: Annotated[str | None, Header()] = None) -> str:
    # The header is a quoted string in the IETF draft, and mostly is not in the wild.
    key = (idempotency_key or "").removeprefix('"').removesuffix('"')
    if not key or len(key) > 200 or not key.isascii() or not key.isprintable():  # noqa: PLR2004 - as the column has it
        raise Problem(
            HTTPStatus.BAD_REQUEST,
            "key-missing",
            "There is no Idempotency-Key",
            "send a header Idempotency-Key of 1 to 200 printable ASCII characters, such as a UUID: a new one for each "
            "purchase, the same one when a purchase is sent again",
        )
    return key


IdempotencyKey = Annotated[str, Depends(_key)]
