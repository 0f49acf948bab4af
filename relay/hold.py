"""What a held message is, before it is written: why it waits, what waits behind it, when it is tried. Nouns only."""

from dataclasses import dataclass
from enum import StrEnum

from relay.blame import Fault
from relay.message import Row


class Scope(StrEnum):
    """What waits behind a held message."""

    NONE = "none"
    KEY = "key"
    """What has its topic and key."""
    TOPIC = "topic"
    """What has its topic."""


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a message or its topic could not be written to, or Kafka took nothing at all."""

    fault: Fault
    """Of the message, of its destination, or of the broker; for the last nothing is ever held."""
    code: str
    """Kafka's name of the error, or our own."""
    text: str
    """What it means, and the mend where there is one."""


@dataclass(frozen=True, slots=True)
class Hold:
    """A message that is set aside."""

    row: Row
    scope: Scope
    failure: Failure | None = None
    """None: it has not been tried, and waits for its time or behind somebody."""
    attempts: int = 0
    """Failures of its own so far."""
    seconds: float | None = None
    """With a failure: until it is tried again; None: never, it is dead."""

    @property
    def dead(self) -> bool:
        """Whether it is not tried again until an operator says so."""
        return self.failure is not None and self.seconds is None
