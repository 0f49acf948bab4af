"""What becomes of a message that failed: when it is tried again, when it is given up, and what waits behind it. Pure.

An outage of a topic or of its rights, however long, counts for nothing and kills nothing: only what is the message's
own fault counts an attempt.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType

from relay.blame import Fault
from relay.hold import Failure, Hold, Scope
from relay.message import Row

PROBE_SECONDS = 2.5
"""Between two looks whether a topic can be written to again: its backlog should not wait long for us to notice."""

JITTER = 0.2
"""How far a pause may be from its even length, as a part of it: those that failed together are not tried together."""


class OnFailure(StrEnum):
    """What waits behind a message of a topic that failed by its own fault."""

    BLOCK_KEY = "block-key"
    SKIP = "skip"
    HALT = "halt"


@dataclass(frozen=True, slots=True)
class Rule:
    """How one topic's failures are dealt with."""

    on_failure: OnFailure
    max_attempts: int


@dataclass(frozen=True, slots=True)
class Policy:
    """The rules of all topics."""

    default: Rule
    topics: Mapping[str, Rule] = field(default_factory=lambda: MappingProxyType({}))
    """Those of topics that have their own, by logical name."""
    first_seconds: float = 1.0
    """Until a message is tried for the second time; each further pause is twice as long."""
    longest_seconds: float = 300.0
    """What the pauses double up to."""

    def rule(self, topic: str) -> Rule:
        """The rule of a topic."""
        return self.topics.get(topic, self.default)

    def failed(self, row: Row, failure: Failure, attempts: int, chance: float) -> Hold:
        """Decide about a message that failed.

        Args:
            row: the message.
            failure: why.
            attempts: failures of its own before this one.
            chance: a random number from 0 to 1, for the jitter.
        """
        spread = 1 + JITTER * (2 * chance - 1)
        if failure.fault is Fault.DESTINATION:
            return Hold(row, Scope.TOPIC, failure, attempts, PROBE_SECONDS * spread)
        rule, attempts = self.rule(row[3]), attempts + 1
        pause = min(self.longest_seconds, self.first_seconds * 2.0 ** min(attempts - 1, 60))
        return Hold(row, _scope(rule, row), failure, attempts, pause * spread if attempts < rule.max_attempts else None)


def _scope(rule: Rule, row: Row) -> Scope:
    if rule.on_failure is OnFailure.HALT:
        return Scope.TOPIC
    # A message without a key has no order, so nothing waits behind it.
    ordered = rule.on_failure is OnFailure.BLOCK_KEY and row[4] is not None
    return Scope.KEY if ordered else Scope.NONE
