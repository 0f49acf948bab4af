"""The nouns of the core, frozen. Nothing here knows of PostgreSQL or Kafka clients; nothing here decides."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

Row = tuple[int, int, str, str, str | None, str | None, bytes | None, str | None, str | None, str, bool, int]
"""A message as it is read and published: shard, seq, id, topic, key, type, payload, content type, the caller's own
headers (a JSON object of text, unparsed), created_at (ISO 8601 in UTC, in the quotation marks that PostgreSQL's
`to_json` puts around it), whether its time of delivery is still to come, and at most how many bytes it takes in Kafka,
uncompressed. A bare tuple, for making hundreds of thousands of objects a second would cost as much as sending them."""

Rows = Mapping[int, Sequence[Row]]
"""Messages by shard, those of each in the order in which they must reach Kafka."""


@dataclass(frozen=True, slots=True)
class Batch:
    """What is given to Kafka at once."""

    rows: Rows
    size: int
    """The bytes of all its messages, as they count themselves."""

    @classmethod
    def of(cls, rows: Rows) -> "Batch":
        """Make a batch of some rows; shards without any are left out."""
        kept = {shard: of for shard, of in rows.items() if of}
        return cls(kept, sum(row[-1] for of in kept.values() for row in of))

    @property
    def count(self) -> int:
        """How many messages it has."""
        return sum(map(len, self.rows.values()))

    @property
    def topics(self) -> set[str]:
        """The logical topics of its messages."""
        return {row[3] for of in self.rows.values() for row in of}

    def without(self, shards: Collection[int]) -> "Batch":
        """The same less some shards."""
        return Batch.of({shard: rows for shard, rows in self.rows.items() if shard not in shards})

    def parts(self, number: int) -> "list[Batch]":
        """Share it out into at most so many parts, to be sent one after another: no order is changed."""
        cuts = [
            {shard: of[len(of) * part // number : len(of) * (part + 1) // number] for shard, of in self.rows.items()}
            for part in range(number)
        ]
        return [Batch.of(cut) for cut in cuts if any(cut.values())]


@dataclass(frozen=True, slots=True)
class Horizon:
    """A snapshot with the floor that may be read with it. They travel together: parted, rows would be skipped.

    `floor`: every transaction that the snapshot does not know, and that is not in its in-progress list, is sure to
    draw a higher `seq`.
    """

    snapshot: str
    floor: int


@dataclass(frozen=True, slots=True)
class Position:
    """How far a shard is: all of `seen` is done; of `target`, when there is one, what has `seq` up to `upto`."""

    seen: Horizon
    target: Horizon | None = None
    upto: int = 0


def columns(positions: Mapping[int, Position]) -> dict[str, list[Any]]:
    """Turn positions of shards into arrays of one length and order, as SQL's `unnest` takes them."""
    at = list(positions.values())
    return {
        "shards": list(positions),
        "seen": [position.seen.snapshot for position in at],
        "seen_floor": [position.seen.floor for position in at],
        "target": [position.target.snapshot if position.target else None for position in at],
        "target_floor": [position.target.floor if position.target else None for position in at],
        "upto": [position.upto for position in at],
    }


@dataclass(frozen=True, slots=True)
class Page:
    """What one read found due, and where each shard stands once it is published."""

    rows: Rows
    """The messages of each shard that has any."""
    before: Mapping[int, Position]
    """The position that each shard was read from."""
    after: Mapping[int, Position]
    """The position of each shard that was read, once its rows are settled. A shard that the page had no room for
    is missing."""
    horizon: Horizon
    """The snapshot of the read itself."""
    sequence: int
    """The number last drawn from the sequence, as the read saw it; a hint of distance, never a floor."""
    unflushed: str | None
    """The WAL position that must be durable before the page may be published; None when it already was."""
    size: int = 0
    """The bytes of all its messages, as they count themselves."""

    @property
    def batch(self) -> Batch:
        """Its messages alone."""
        return Batch(self.rows, self.size)

    @property
    def count(self) -> int:
        """How many messages the page has."""
        return sum(map(len, self.rows.values()))

    @property
    def exhausted(self) -> bool:
        """Whether nothing was due behind this page when it was read."""
        return len(self.after) == len(self.before) and all(at.seen is self.horizon for at in self.after.values())

    def before_number(self, shard: int, number: int) -> Position:
        """Where a shard stands when of its rows only those below a number were settled."""
        before = self.before[shard]
        upto = max((row[1] for row in self.rows[shard] if row[1] < number), default=before.upto)
        return Position(before.seen, before.target or self.horizon, upto)

    def without(self, shards: Collection[int]) -> "Page":
        """The same page less some shards, as if they had not been read."""
        return replace(
            self,
            rows={shard: rows for shard, rows in self.rows.items() if shard not in shards},
            before={shard: at for shard, at in self.before.items() if shard not in shards},
            after={shard: at for shard, at in self.after.items() if shard not in shards},
        )
