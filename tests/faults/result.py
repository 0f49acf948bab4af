"""What a campaign found: its steps with their counts, for each kind of fault and in all. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from statistics import median
from typing import Any

from tests.faults.tally import Counts


@dataclass(frozen=True, slots=True)
class Step:
    """Some faults that struck at once, and what came of it."""

    kind: str
    told: str
    """The faults in words, with what was drawn for them."""
    faults: int
    seconds: float | None
    """How long the relays took to catch up once all was mended; None when they did not."""
    counts: Counts = field(default_factory=Counts)

    def counted(self, counts: Counts) -> "Step":
        """The same step with its counts."""
        return replace(self, counts=counts)


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table."""

    kind: str
    faults: int
    counts: Counts
    most: int
    """Duplicates of the step that had most."""
    median: float | None
    longest: float | None
    """Seconds to catch up."""

    @classmethod
    def of(cls, kind: str, steps: Sequence[Step]) -> "Row":
        """Put some steps together."""
        seconds = [step.seconds for step in steps if step.seconds is not None]
        return cls(
            kind,
            sum(step.faults for step in steps),
            sum((step.counts for step in steps), Counts()),
            max((step.counts.duplicates for step in steps), default=0),
            median(seconds) if seconds else None,
            max(seconds) if seconds else None,
        )


def rows_of(steps: Sequence[Step]) -> list[Row]:
    """The table: each kind of fault, the calm at the beginning and the end, and all together."""
    kinds = sorted({step.kind for step in steps})
    return [*(Row.of(kind, [step for step in steps if step.kind == kind]) for kind in kinds), Row.of("all", steps)]


@dataclass(frozen=True, slots=True)
class Result:
    """What a campaign found."""

    seed: int
    steps: Sequence[Step]
    troubles: Sequence[str]
    """What would have needed a person."""
    window: int
    """How many messages can be on their way at once: one fault may repeat so many."""
    seconds: float
    revision: str

    @property
    def faults(self) -> int:
        """How many faults struck."""
        return sum(step.faults for step in self.steps)

    @property
    def broken(self) -> Mapping[str, Any]:
        """The promises that did not hold; empty when all did."""
        all_ = Row.of("all", self.steps).counts
        calm = self.steps[0].counts.duplicates
        beyond = [step.told for step in self.steps if step.counts.duplicates > self.window * max(1, step.faults)]
        return {
            **all_.broken,
            **({"repeated beyond the window": beyond} if beyond else {}),
            **({"repeated without a fault": calm} if calm else {}),
            **({"needed a person": list(self.troubles)} if self.troubles else {}),
        }

    def as_json(self) -> dict[str, Any]:
        """Return all of it as JSON values."""
        return {**asdict(self), "broken": dict(self.broken)}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "Result":
        """Make it of what `as_json` returned."""
        steps = [Step(**{**step, "counts": Counts(**step["counts"])}) for step in values["steps"]]
        return cls(**{name: value for name, value in values.items() if name not in ("steps", "broken")}, steps=steps)
