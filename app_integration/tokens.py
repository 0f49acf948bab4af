"""Tokens that say who somebody is: JWT (RFC 7519) signed with HS256. Needs the extra `example` or `realtime`.

Law: whoever checks trusts nothing that the token says of itself: one algorithm, one issuer, one audience, and a time
at which it ends. The subject, `sub`, is the user's id. What is wrong with a token is not told to who presents it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import jwt

from app_integration.variables import read
from relay.errors import SettingsError

ALGORITHM = "HS256"
ISSUER = AUDIENCE = "edu-matrix"

SHORTEST_SECRET = 32
"""Bytes: RFC 7518, section 3.2, a key at least as long as the hash."""

LIFETIME = timedelta(hours=1)

LEEWAY = timedelta(seconds=5)
"""How far the clocks of two servers may be apart."""


class InvalidToken(Exception):
    """The token is expired, forged, or none of ours."""


class ExpiredToken(InvalidToken):
    """It was one of ours, and its time is over: its holder needs another."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Who somebody is, until when."""

    user_id: str
    expires_at: datetime
    name: str | None = None
    """How they are addressed, where the token says."""


def load_secret(environ: Mapping[str, str]) -> str:
    """Read the secret from `JWT_SECRET`, or from the file that `JWT_SECRET_FILE` names.

    Raises:
        SettingsError: there is none, there are two, or it is too short to sign with.
    """
    secret = read(environ, "JWT_SECRET") or ""
    if len(secret.encode()) < SHORTEST_SECRET:
        what = f"is shorter than {SHORTEST_SECRET} bytes" if secret else "is not set"
        raise SettingsError(
            f"JWT_SECRET {what}; make one with: python -c 'import secrets; print(secrets.token_urlsafe(48))', "
            "and set it as JWT_SECRET, or write it to a file and set JWT_SECRET_FILE"
        )
    return secret


def make_token(
    user_id: str, secret: str, *, name: str | None = None, lifetime: timedelta = LIFETIME, now: datetime | None = None
) -> str:
    """Sign a token for a user.

    Args:
        user_id: who.
        secret: of `load_secret`.
        name: how they are addressed.
        lifetime: until it ends.
        now: the time; that of this machine unless given.
    """
    begins = now or datetime.now(UTC)
    claims = {"sub": user_id, "iss": ISSUER, "aud": AUDIENCE, "iat": begins, "exp": begins + lifetime}
    return jwt.encode(claims if name is None else {**claims, "name": name}, secret, algorithm=ALGORITHM)


def check_token(token: str, secret: str) -> Identity:
    """Tell whose token it is.

    Raises:
        InvalidToken: it is expired, forged, or none of ours.
    """
    try:
        claims = jwt.decode(
            token,
            secret,
            algorithms=[ALGORITHM],
            issuer=ISSUER,
            audience=AUDIENCE,
            leeway=LEEWAY,
            options={"require": ["sub", "iss", "aud", "iat", "exp"]},
        )
    except jwt.ExpiredSignatureError as error:
        raise ExpiredToken(str(error)) from None
    except jwt.InvalidTokenError as error:
        raise InvalidToken(str(error)) from None
    name = claims.get("name")
    return Identity(claims["sub"], datetime.fromtimestamp(claims["exp"], UTC), name if isinstance(name, str) else None)
