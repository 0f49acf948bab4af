"""What became of each message, counted for each step of a campaign. Pure: knows no server.

A message that was committed belongs to the step in which it was written, one that arrived to the step in which it did:
so a lost one is counted where it was written, and a repeat where it came.
"""

from bisect import bisect_right
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, fields

from relay.judge import Place, Seen, occurrences
from tests.faults.ledger import Entry


@dataclass(frozen=True, slots=True)
class Counts:
    """How many messages; of each kind of fault, or in all."""

    committed: int = 0
    published: int = 0
    """Committed ones that arrived, each counted once."""
    withheld: int = 0
    """Committed ones that may not arrive, for Kafka refuses them, and did not."""
    lost: int = 0
    phantom: int = 0
    """Arrived though their transaction was rolled back, or undone by a crash."""
    out_of_order: int = 0
    """First occurrences behind the first of a newer message of their topic and key."""
    early: int = 0
    """Scheduled ones that arrived before their time."""
    duplicates: int = 0
    stale: int = 0
    """Of the duplicates, those that came behind a newer message of their topic and key."""
    anew: int = 0
    """Arrived once more because an operator wanted it so; neither duplicates nor in any order."""

    def __add__(self, other: "Counts") -> "Counts":
        return Counts(*(getattr(self, each.name) + getattr(other, each.name) for each in fields(Counts)))

    @property
    def broken(self) -> dict[str, int]:
        """The promises that did not hold, each with the number of messages that broke it."""
        promises = ("lost", "phantom", "out_of_order", "early")
        return {name: getattr(self, name) for name in promises if getattr(self, name)}


@dataclass(frozen=True, slots=True)
class Mark:
    """Where a step of a campaign begins."""

    arrived: int
    """How many messages had arrived."""
    at: float
    """Seconds since 1970."""


def tally(
    entries: Sequence[Entry], seen: Sequence[Seen], marks: Sequence[Mark], excused: Collection[str]
) -> list[Counts]:
    """Count what became of each message.

    Args:
        entries: all that was committed, in the order of writing.
        seen: all that arrived, each partition's messages in the order of their offsets.
        marks: where each step begins; the first at the very beginning.
        excused: ids of messages that need not arrive.

    Returns:
        The counts of each step.
    """
    found = [dict.fromkeys((each.name for each in fields(Counts)), 0) for _ in marks]
    at, arrived = [mark.at for mark in marks], [mark.arrived for mark in marks]
    ids = {message.id for message in seen if not message.replay}
    for entry in entries:
        step = found[max(0, bisect_right(at, entry.created_at) - 1)]
        step["committed"] += 1
        fate = "published" if entry.id in ids else "withheld" if entry.id in excused else "lost"
        step[fate] += 1
    known = {entry.id: entry for entry in entries}
    numbers = [number for number, message in enumerate(seen) if not message.replay]
    for number, message in enumerate(seen):
        if message.replay:
            step = found[bisect_right(arrived, number) - 1]
            step["anew"] += 1
            step["phantom"] += message.id not in known
    came = occurrences((seen[number] for number in numbers), _places(entries))
    for number, (message, repeated, late) in zip(numbers, came, strict=True):
        step = found[bisect_right(arrived, number) - 1]
        step["duplicates"] += repeated
        step["stale"] += repeated and late
        step["out_of_order"] += late and not repeated
        step["phantom"] += message.id not in known and not repeated
        step["early"] += message.id in known and _early(known[message.id], message)
    return [Counts(**counts) for counts in found]


def _places(entries: Sequence[Entry]) -> Callable[[Seen], Place]:
    places: dict[str | None, Place] = {
        entry.id: (entry.queue, place) for place, entry in enumerate(entries) if entry.queue
    }
    return lambda message: places.get(message.id)


def _early(entry: Entry, message: Seen) -> bool:
    """Whether a message arrived before its time; its age is counted from its creation."""
    if entry.deliver_after is None or message.age is None:
        return False
    return message.age < entry.deliver_after - entry.created_at
