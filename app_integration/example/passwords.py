"""Passwords: argon2id with the library's parameters (RFC 9106, the low-memory choice), never on the event loop.

Each hash takes 64 MiB and tens of milliseconds of a core, so only as many are made at once as there are cores:
whoever sends a flood of logins waits, and does not take the machine's memory.
"""

import asyncio
import os

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

_hasher = PasswordHasher()
_turns = asyncio.Semaphore(os.cpu_count() or 1)

NOBODY = _hasher.hash("nobody has this password")
"""Compared with where there is no such account, so that the time of an answer does not tell."""


async def hashed(password: str) -> str:
    """Make the hash to store."""
    async with _turns:
        return await asyncio.to_thread(_hasher.hash, password)


async def fits(password: str, stored: str) -> bool:
    """Tell whether a password is the one that was stored."""
    async with _turns:
        return await asyncio.to_thread(_fits, password, stored)


def _fits(password: str, stored: str) -> bool:
    try:
        return _hasher.verify(stored, password)
    except (VerificationError, InvalidHashError):
        return False
