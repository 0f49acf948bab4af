"""How large a benchmark is: the same measurements for a test, for a user's ten minutes, and for the docs. Pure."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Scale:
    """Sizes and times.

    Args:
        rows: messages of a drain.
        runs: how often a measurement and its reference alternate.
        seconds: how long a steady load lasts.
        kept: messages that were sent long ago and are still in the table.
        deep: messages of a backlog that is meant to be deep.
        backlogs: the depths at which growth is looked at.
    """

    rows: int
    runs: int
    seconds: float
    kept: int
    deep: int
    backlogs: tuple[int, ...]


QUICK = Scale(rows=20_000, runs=1, seconds=2, kept=20_000, deep=20_000, backlogs=(1_000, 10_000))
"""Shows that everything works; its figures mean little."""

STANDARD = Scale(
    rows=1_000_000, runs=2, seconds=5, kept=1_000_000, deep=1_000_000, backlogs=(10_000, 100_000, 1_000_000)
)
"""All parts in ten minutes on two cores."""

LONG = Scale(
    rows=1_000_000,
    runs=5,
    seconds=30,
    kept=10_000_000,
    deep=10_000_000,
    backlogs=(10_000, 100_000, 1_000_000, 10_000_000),
)
"""At length; an hour or two, and tens of gigabytes of disk."""
