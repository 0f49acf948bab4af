"""The nouns of the core, frozen. Nothing here knows of PostgreSQL or Kafka clients; nothing here decides."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

Row = tuple[int, int, str, str, str | None, str | None, bytes | None, str | None, str | None, str, int]
"""A message as it is read and published: shard, seq, id, topic, key, type, payload, content type, the caller's own
headers (a JSON object of text, unparsed), created_at (ISO 8601 in UTC, in the quotation marks that PostgreSQL's
`to_json` puts around it), and at most how many bytes it takes in Kafka, uncompressed. A bare tuple, for making hundreds
of thousands of objects a second would cost as much as sending them."""


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


@dataclass(frozen=True, slots=True)
class Page:
    """What one read found due, and where each shard stands once it is published."""

    rows: Mapping[int, Sequence[Row]]
    """The messages of each shard that has any, in the order in which they must reach Kafka."""
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
    """The WAL position that must be flushed before the page may be published; None when it already was."""
    size: int = 0
    """The bytes of all its messages, as they count themselves."""

    @property
    def count(self) -> int:
        """How many messages the page has."""
        return sum(map(len, self.rows.values()))

    @property
    def exhausted(self) -> bool:
        """Whether nothing was due behind this page when it was read."""
        return len(self.after) == len(self.before) and all(at.seen is self.horizon for at in self.after.values())

    def until(self, shard: int, published: int) -> Position:
        """Where a shard stands when only the first `published` of its rows were settled."""
        if published == len(self.rows[shard]):
            return self.after[shard]
        before = self.before[shard]
        upto = self.rows[shard][published - 1][1] if published else before.upto
        return Position(before.seen, before.target or self.horizon, upto)

    def without(self, shards: Collection[int]) -> "Page":
        """The same page less some shards, as if they had not been read."""
        return replace(
            self,
            rows={shard: rows for shard, rows in self.rows.items() if shard not in shards},
            before={shard: at for shard, at in self.before.items() if shard not in shards},
            after={shard: at for shard, at in self.after.items() if shard not in shards},
        )
