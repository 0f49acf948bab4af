"""What became of a page that was given to Kafka. Nouns only."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from relay.blame import Fault
from relay.message import Row


@dataclass(frozen=True, slots=True)
class Refusal:
    """A message that Kafka refused when it was alone in its batch, or whose topic the settings refuse."""

    row: Row
    reason: str
    fault: Fault
    """Of the message, or of its destination; never of the broker."""


@dataclass(slots=True)
class Outcome:
    """What is known of a page. Only `published` counts as sent."""

    published: dict[int, int] = field(default_factory=dict)
    """How many messages of each shard are acknowledged, from its first on."""
    broker: str | None = None
    """Why Kafka could not take the rest, if it could not: send it again."""
    suspects: bool = False
    """Whether a message or its topic is at fault, and it is not known which."""
    refusals: dict[int, Refusal] = field(default_factory=dict)
    """For each shard that met a refusal, the refused message: the one behind those published."""


def together(parts: Iterable[Outcome]) -> Outcome:
    """Say of a page what is known of its parts, each of them other shards."""
    whole = Outcome()
    for part in parts:
        whole.published |= part.published
        whole.broker = whole.broker or part.broker
        whole.suspects |= part.suspects
        whole.refusals |= part.refusals
    return whole
