"""What a rebase would do, and why, in words. Pure: judges what `relay.restoring.unsent` has counted.

The words: a message is *covered* when the recorded positions say that it was sent. Where they were recorded in another
cluster they are only asked about messages that this cluster did not write, which their numbers tell.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from relay.errors import UserMistake
from relay.reading import origin

ROWS_PER_SECOND = 18_000
"""How many messages of 300 bytes were written anew in a second on 2 busy cores, of 300,000."""


class Reason(StrEnum):
    """Why a message counts as unsent."""

    UNCOVERED = "uncovered"
    """The recorded positions say so."""
    ABOVE = "above"
    """Its number is above all that the positions of the other cluster ever covered."""
    SINCE = "since"
    """It was created after the newest checkpoint, with a number that had been drawn before."""
    AGAIN = "again"
    """Its number was, or may have been, drawn again by a sequence that began anew."""


@dataclass(frozen=True, slots=True)
class Marks:
    """What is recorded, beside what this database is."""

    here: int
    """The `system_identifier` of this cluster."""
    recorded: frozenset[int]
    """Those that the newest checkpoints were made in."""
    missing: frozenset[int]
    """Shards of which nothing is recorded."""
    number: int
    """The number last drawn from the sequence."""
    drawn: int
    """No message that a recorded position covers has a higher number."""
    newest: datetime | None
    """When the newest checkpoint was written."""

    @property
    def foreign(self) -> bool:
        """Whether the positions are made of another cluster's transaction ids."""
        return bool(self.recorded - {self.here})

    @property
    def sequence_is_back(self) -> bool:
        """Whether the sequence stands below numbers that were drawn from it."""
        return self.number < self.drawn

    @property
    def again(self) -> int:
        """Up to which number messages of this cluster may hide among those of the other; 0 where none can."""
        return self.number if self.foreign and self.sequence_is_back else 0


@dataclass(frozen=True, slots=True)
class Plan:
    """What was found before anything is changed."""

    marks: Marks
    unsent: Mapping[Reason, int]
    """How many messages count as unsent, for each reason."""
    sent: int
    """How many rows of `outbox.message` go."""
    hidden: int
    """How many messages a relay would never see, because of their numbers."""
    held: int
    """How many rows `outbox.held` has; they stay."""

    @property
    def count(self) -> int:
        """How many messages are written anew."""
        return sum(self.unsent.values())

    @property
    def used_again(self) -> bool:
        """Whether numbers were drawn twice, so that their order says nothing about the order of writing."""
        return self.marks.sequence_is_back or self.hidden > 0 or self.unsent.get(Reason.SINCE, 0) > 0

    @property
    def causes(self) -> list[str]:
        """Why the recorded positions cannot be gone on with; empty when they can."""
        marks = self.marks
        found = [
            (marks.foreign, origin.foreign_cluster(marks.recorded, marks.here)),
            (bool(marks.missing), origin.no_position(marks.missing)),
            (marks.sequence_is_back, origin.sequence_went_back(marks.number, marks.drawn)),
            (not marks.foreign and self.hidden > 0, origin.SEQUENCE_USED_AGAIN),
        ]
        return [text for holds, text in found if holds]

    def demand(self) -> None:
        """Go on only where there is something to rebase.

        Raises:
            UserMistake: the positions belong to this cluster and its sequence: relays can go on with them.
        """
        if not self.causes:
            raise UserMistake(
                f"nothing to rebase: the recorded positions belong to this cluster ({self.marks.here}), and its "
                "sequence did not go backwards; start the relay. Nothing was changed"
            )

    def explain(self) -> Iterator[str]:
        """Say what was found, what would be done and what it means, a line each."""
        for cause in self.causes:
            yield f"found:    {cause}"
        yield f"anew:     {self.count:,} messages count as unsent and are written anew, in order, with new numbers"
        for reason, count in self.unsent.items():
            yield f"          {count:,} {self._because(reason)}"
        yield f"gone:     {self.sent:,} rows of messages that were sent, with the record of when"
        yield f"kept:     {self.held:,} rows of outbox.held as they are"
        yield (
            f"writers:  wait while these are written, {self.count / ROWS_PER_SECOND:,.1f} s at {ROWS_PER_SECOND:,} a "
            "second; before that up to 3 s at a time, while transactions that have written messages are waited for"
        )
        if self.marks.foreign:
            yield (
                "beware:   what the old cluster's relays publish after the dump is published once more from here: they "
                "must be stopped, and a test copy must not lead to the real Kafka"
            )

    def _because(self, reason: Reason) -> str:
        marks = self.marks
        return {
            Reason.UNCOVERED: "that the recorded positions do not cover",
            Reason.ABOVE: f"with numbers above {marks.drawn:,}: written in this cluster, where the positions cannot "
            "tell; none is a repeat",
            Reason.SINCE: f"created after the newest checkpoint ({marks.newest:%Y-%m-%d %H:%M:%S} UTC) with numbers "
            f"up to {marks.drawn:,}: written in this cluster while its sequence stood too low",
            Reason.AGAIN: f"with numbers up to {marks.again:,}, where the sequence began anew: they may have been sent "
            "before it did, and such ones arrive twice",
        }[reason]
