"""What the seen messages say about the promises. Pure: knows neither Kafka nor PostgreSQL.

The words: a *duplicate* is any occurrence of a message after its first (at least once allows them). A *stale*
one comes after a newer message of its topic and key was seen, so that a consumer that keeps the last value
keeps an old one. *Out of order* is a first occurrence that comes after the first occurrence of a newer
message of its topic and key; that breaks a promise. Messages without a key have no order.
"""

from collections.abc import Callable, Collection, Hashable, Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import NamedTuple


class Seen(NamedTuple):
    """One message as a consumer received it."""

    id: str | None
    """The `ce_id` header; None when the message has none."""
    topic: str
    key: str | None
    partition: int
    offset: int
    n: int | None = None
    """The application's own counter of this key, from the payload, when one was asked for."""
    age: float | None = None
    """Seconds from enqueueing (`ce_time`) to arrival, by two clocks: for display only."""
    replay: bool = False
    """Whether an operator had it published anew, by the `ce_replay` header; order does not cover those."""


@dataclass(frozen=True, slots=True)
class Order:
    """What can be said of the seen messages alone."""

    distinct: int
    duplicates: int
    stale: int
    out_of_order: int


@dataclass(frozen=True, slots=True)
class Verdict:
    """The counts of a run; every number is of messages."""

    committed: int
    consumed: int
    """Committed messages that were seen, each counted once."""
    lost: int
    rolled_back_seen: int
    unknown: int
    """Seen, but neither committed nor known to be rolled back: committed nowhere, or somebody else's."""
    duplicates: int
    stale: int
    out_of_order: int

    @property
    def broken(self) -> dict[str, int]:
        """The promises that did not hold, each with the number of messages that broke it."""
        breaches = {"lost", "rolled_back_seen", "unknown", "out_of_order"}
        return {name: count for name, count in asdict(self).items() if name in breaches and count}


Place = tuple[Hashable, int] | None
"""The queue a message belongs to and its place there; None where order means nothing."""


class Occurrence(NamedTuple):
    """What one message that arrived is among those before it."""

    message: Seen
    repeated: bool
    """Whether it had come before."""
    late: bool
    """Whether a newer message of its topic and key had come before."""


def verdict(
    expected: Iterable[tuple[str, str, str | None]], rolled_back: Collection[str], seen: Iterable[Seen]
) -> Verdict:
    """Compare what was committed with what arrived.

    Args:
        expected: id, topic and key of every committed message, those of one topic and key in their true
        order:
            `select id::text, topic, key from outbox.message order by seq`, or the application's own order.
        rolled_back: ids of messages whose transactions were rolled back.
        seen: what arrived, each partition's messages in the order of their offsets.

    Returns:
        The counts; `broken` is empty exactly when every promise held. Topics are compared within `expected`
        only, for a relay may publish a logical topic under another name.
    """
    places: dict[str, Place] = {}
    for place, (id_, topic, key) in enumerate(expected):
        places[id_] = None if key is None else ((topic, key), place)
    never = frozenset(rolled_back)
    rolled_back_seen: set[str] = set()
    unknown: set[object] = set()
    known: list[Seen] = []
    for message in seen:
        if message.id in places:
            known.append(message)
        elif message.id in never:
            rolled_back_seen.add(message.id)
        else:
            unknown.add(_identity(message))
    found = _tally(known, lambda message: places[message.id] if message.id else None)
    return Verdict(
        committed=len(places),
        consumed=found.distinct,
        lost=len(places) - found.distinct,
        rolled_back_seen=len(rolled_back_seen),
        unknown=len(unknown),
        duplicates=found.duplicates,
        stale=found.stale,
        out_of_order=found.out_of_order,
    )


def order(seen: Iterable[Seen]) -> Order:
    """Judge the seen messages by the counter `n` in their payloads alone, with no database at hand.

    Args:
        seen: what arrived, each partition's messages in the order of their offsets.

    Returns:
        The counts; messages without a key or without `n` count as duplicates at most.
    """
    return _tally(seen, _counted_place)


def _counted_place(message: Seen) -> Place:
    if message.key is None or message.n is None:
        return None
    return (message.topic, message.key), message.n


def _identity(message: Seen) -> object:
    """Tell a message from others: by its id, or by where it lies when it has none."""
    return message.id or (message.topic, message.partition, message.offset)


def occurrences(seen: Iterable[Seen], place_of: Callable[[Seen], Place]) -> Iterator[Occurrence]:
    """Say of each message what it is among those that came before it.

    Args:
        seen: what arrived, each partition's messages in the order of their offsets.
        place_of: where a message belongs in the queue of its topic and key; None where order means nothing.
    """
    newest: dict[Hashable, int] = {}
    met: set[object] = set()
    for message in seen:
        identity = _identity(message)
        repeated = identity in met
        met.add(identity)
        late = False
        if (at := place_of(message)) is not None:
            queue, place = at
            late = place < newest.setdefault(queue, place)
            newest[queue] = max(newest[queue], place)
        yield Occurrence(message, repeated=repeated, late=late)


def _tally(seen: Iterable[Seen], place_of: Callable[[Seen], Place]) -> Order:
    distinct = duplicates = stale = out_of_order = 0
    for _, repeated, late in occurrences(seen, place_of):
        distinct += not repeated
        duplicates += repeated
        stale += late and repeated
        out_of_order += late and not repeated
    return Order(distinct, duplicates, stale, out_of_order)
