"""What was measured, beside what it is measured against, and whether it meets its goal. Pure."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any, Literal, Self


class Verdict(StrEnum):
    """What a figure says of its goal."""

    MET = "met"
    MISSED = "missed"
    REPORTED = "reported"


@dataclass(frozen=True, slots=True)
class Goal:
    """A bound on a figure, either on its value or on its ratio to its reference."""

    of: Literal["value", "ratio"]
    bound: float
    direction: Literal["at least", "at most"]

    def met(self, number: float) -> bool:
        """Whether a number keeps within the bound."""
        return number >= self.bound if self.direction == "at least" else number <= self.bound

    def as_json(self) -> dict[str, Any]:
        """Return it for programs; its fields are those of the class."""
        return asdict(self)

    def __str__(self) -> str:
        sign = "≥" if self.direction == "at least" else "≤"
        return f"{sign} {self.bound:g}" + (" times" if self.of == "ratio" else "")


def at_least(bound: float, of: Literal["value", "ratio"] = "ratio") -> Goal:
    """Return a goal that larger numbers meet."""
    return Goal(of, bound, "at least")


def at_most(bound: float, of: Literal["value", "ratio"] = "value") -> Goal:
    """Return a goal that smaller numbers meet."""
    return Goal(of, bound, "at most")


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of the table.

    Args:
        part: the part that measured it, by its name on the command line.
        name: what was measured, in words.
        value: the number, the median where there were several runs.
        unit: what it counts, such as "messages/s".
        reference: the number that it stands beside, in the same unit; None where there is none.
        against: what the reference is, in words.
        goal: what is expected; None where the figure is only reported.
        runs: the judged number of each run (ratios where the goal is on the ratio), to show how much they vary.
        note: what a reader should know besides.
    """

    part: str
    name: str
    value: float
    unit: str
    reference: float | None = None
    against: str = ""
    goal: Goal | None = None
    runs: tuple[float, ...] = ()
    note: str = ""

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Self:
        """Return the figure that `as_json` was called on."""
        goal = stored["goal"] and Goal(**stored["goal"])
        texts: dict[str, Any] = {name: stored[name] or "" for name in ("against", "note")}
        kept: dict[str, Any] = {name: stored[name] for name in ("part", "name", "value", "unit", "reference")}
        return cls(**kept, **texts, goal=goal, runs=tuple(stored["runs"]))

    @property
    def ratio(self) -> float | None:
        """The value as a multiple of its reference."""
        return self.value / self.reference if self.reference else None

    @property
    def judged(self) -> float | None:
        """The number that the goal is on."""
        return self.ratio if self.goal and self.goal.of == "ratio" else self.value

    @property
    def verdict(self) -> Verdict:
        """Whether the goal is met; a goal on a ratio that does not exist is missed."""
        if self.goal is None:
            return Verdict.REPORTED
        return Verdict.MET if self.judged is not None and self.goal.met(self.judged) else Verdict.MISSED

    def as_json(self) -> dict[str, Any]:
        """Return it for programs."""
        return {
            "part": self.part,
            "name": self.name,
            "value": self.value,
            "unit": self.unit,
            "reference": self.reference,
            "against": self.against or None,
            "ratio": self.ratio,
            "goal": self.goal.as_json() if self.goal else None,
            "verdict": self.verdict.value,
            "runs": list(self.runs),
            "note": self.note or None,
        }
