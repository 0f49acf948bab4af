"""How entries of the audit log are chained, and what breaks a chain. Pure.

    hash(n) = SHA-256(hash(n-1) || entry(n)),  hash(0) = SHA-256("outbox-relay audit chain 1" || 0x00 || chain)

`entry` is canonical JSON: UTF-8, keys sorted by code point, no blanks (as RFC 8785 for all but exotic keys and
floats), and says chain and number itself, so that an entry means nothing in another place.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

DOMAIN = b"outbox-relay audit chain 1\x00"
"""Begins what is hashed first, so that no hash of something else can begin a chain."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A row of the log."""

    chain: str
    number: int
    text: str
    hash: bytes


@dataclass(frozen=True, slots=True)
class Broken:
    """The first entry of a chain that is not what it was when it was appended, and why we know."""

    chain: str
    number: int
    why: str


def root(chain: str) -> bytes:
    """Where a chain begins."""
    return hashlib.sha256(DOMAIN + chain.encode()).digest()


def canonical(document: dict[str, Any]) -> str:
    """Write a document in the one way that all agree on.

    Numbers other than whole ones are written as text by who enqueues; a float that came nevertheless is written as
    Python does, which is the shortest form that reads back the same.
    """
    return json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def append(chain: str, number: int, before: bytes, document: dict[str, Any]) -> Entry:
    """Make the next entry of a chain.

    Args:
        chain: its name.
        number: of the entry; the first is 1.
        before: the hash of the one before, or `root`.
        document: what it says besides.
    """
    text = canonical({**document, "chain": chain, "number": number})
    return Entry(chain, number, text, hashlib.sha256(before + text.encode()).digest())


def verify(chain: str, entries: Iterable[Entry]) -> Iterator[Broken | Entry]:
    """Follow a chain; give the entry that is broken first, and nothing after it, or in the end the last one.

    Args:
        chain: its name.
        entries: all of them, by number.
    """
    before, last = root(chain), None
    for number, entry in enumerate(entries, 1):
        if why := _fault(chain, number, before, entry):
            yield Broken(chain, min(number, entry.number), why)
            return
        before, last = entry.hash, entry
    if last is not None:
        yield last


def _fault(chain: str, number: int, before: bytes, entry: Entry) -> str | None:
    if entry.number != number:
        return f"it is missing: {entry.number} follows {number - 1}"
    if hashlib.sha256(before + entry.text.encode()).digest() != entry.hash:
        return "its hash does not follow from its content and the entry before: one of them was changed"
    said = json.loads(entry.text)
    if (said.get("chain"), said.get("number")) != (chain, number):
        return f"it was written as number {said.get('number')} of chain {said.get('chain')!r}"
    return None
