"""What became of a batch that was given to Kafka. Nouns only."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from relay.hold import Failure, Hold
from relay.message import Batch, Row


@dataclass(slots=True)
class Outcome:
    """What one attempt to send a batch whole has told."""

    published: set[int] = field(default_factory=set)
    """The shards of which every message is acknowledged."""
    broker: Failure | None = None
    """Why Kafka could not take the rest, if it could not: send it again."""
    unacknowledged: set[str] = field(default_factory=set)
    """With `broker`: the logical topics that Kafka was silent about while it acknowledged others."""
    away: dict[str, Failure] = field(default_factory=dict)
    """Logical topics that cannot be written to."""
    suspects: bool = False
    """Whether a message is at fault, and it is not known which."""


def together(parts: Iterable[Outcome]) -> Outcome:
    """Say of a batch what is known of its parts, each of them other shards."""
    whole = Outcome()
    for part in parts:
        whole.published |= part.published
        whole.broker = whole.broker or part.broker
        whole.unacknowledged |= part.unacknowledged
        whole.away |= part.away
        whole.suspects |= part.suspects
    return whole


@dataclass(slots=True)
class Delivered:
    """What became of each message of a batch in the end."""

    published: list[Sequence[Row]] = field(default_factory=list)
    """Acknowledged messages."""
    holds: list[Hold] = field(default_factory=list)
    """Messages to set aside."""
    stuck: dict[int, int] = field(default_factory=dict)
    """For each shard with messages that are neither, the number of the first: nothing is known from there on."""
    broker: Failure | None = None
    """Why there are any."""

    @property
    def count(self) -> int:
        """How many messages were published."""
        return sum(map(len, self.published))

    def leave(self, batch: Batch) -> None:
        """Take note of messages about which nothing is known."""
        for shard, rows in batch.rows.items():
            self.stuck[shard] = min(rows[0][1], self.stuck.get(shard, rows[0][1]))

    def settled(self) -> "list[Hold]":
        """The messages to set aside now: beyond a stuck one they are read once more."""
        return [hold for hold in self.holds if not self._beyond(hold)]

    def unsettled(self) -> "list[Hold]":
        """Those that are read once more."""
        return [hold for hold in self.holds if self._beyond(hold)]

    def _beyond(self, hold: Hold) -> bool:
        return hold.row[1] >= self.stuck.get(hold.row[0], hold.row[1] + 1)


Attempts = Mapping[int, int]
"""Failures of their own that messages have behind them, by `seq`; none for those that are not named."""
