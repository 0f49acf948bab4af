"""Signs what is delivered (Standard Webhooks 1.0.0, "Signature scheme" with a symmetric key), and makes secrets. Pure.

https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

import base64
import binascii
import hmac
import secrets
from collections.abc import Sequence

PREFIX = "whsec_"

SHORTEST, LONGEST = 24, 64
"""Bytes that a secret may have (the same specification)."""


def new_secret() -> str:
    """Make a secret of 32 random bytes, in the form in which subscribers' libraries take it."""
    return PREFIX + base64.b64encode(secrets.token_bytes(32)).decode()


def key_of(secret: str) -> bytes:
    """Read a secret.

    Raises:
        ValueError: it is none; the text does not repeat it.
    """
    try:
        key = base64.b64decode(secret.removeprefix(PREFIX), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if not secret.startswith(PREFIX) or not SHORTEST <= len(key) <= LONGEST:
        raise ValueError(f"the secret is none; allowed: {PREFIX} and {SHORTEST} to {LONGEST} bytes in base64")
    return key


def headers(identity: str, timestamp: int, body: bytes, keys: Sequence[str]) -> dict[str, str]:
    """Make the three headers of a delivery.

    Args:
        identity: of the event, the same for every attempt: `webhook-id`.
        timestamp: of this attempt, in seconds since 1970.
        body: exactly what is sent.
        keys: the endpoint's secret, and those that it had before and that are still good: one signature by each,
            separated by spaces (the same specification, "Webhook Headers"), of which one must fit.

    Raises:
        ValueError: one is no secret.
    """
    signed = f"{identity}.{timestamp}.".encode() + body
    digests = [hmac.digest(key_of(secret), signed, "sha256") for secret in keys]
    return {
        "webhook-id": identity,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": " ".join(f"v1,{base64.b64encode(digest).decode()}" for digest in digests),
    }
