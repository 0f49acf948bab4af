"""What a campaign found, and how it is told: a table for a terminal, and the same as Markdown. Pure."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from tests.endtoend.plan import Strike
from tests.endtoend.tally import Line

HEADINGS = ("each", "due", "once", "repeated, excused", "missing", "doubled", "invented")


@dataclass(frozen=True, slots=True)
class Result:
    """What a campaign found."""

    seed: int
    strikes: Sequence[Strike]
    lines: Sequence[Line]
    troubles: Sequence[str]
    """What would have needed a person."""
    rest: float
    """Seconds from the last customer until nothing was left to do."""
    seconds: float
    revision: str

    @property
    def broken(self) -> Mapping[str, Any]:
        """What did not hold; empty when all did."""
        wrong = {line.what: list(line.examples) for line in self.lines if line.broken}
        return {**wrong, **({"needed a person": list(self.troubles)} if self.troubles else {})}

    @property
    def struck(self) -> list[tuple[str, int]]:
        """How often each kind of thing happened to each role, most often first."""
        roles = Counter(
            f"{strike.victim.removesuffix(' one').removesuffix(' two')} {strike.kind}" for strike in self.strikes
        )
        return roles.most_common()

    def as_json(self) -> dict[str, Any]:
        """Return what is kept of it, as JSON values."""
        kept = {name: value for name, value in asdict(self).items() if name != "strikes"}
        return {**kept, "strikes": len(self.strikes), "struck": self.struck, "broken": dict(self.broken)}


def cells(line: Line) -> tuple[str, ...]:
    """One line of the table."""
    repeated = ", ".join(f"{number:,} {why}" for why, number in sorted(line.repeated.items())) or "0"
    numbers = (line.missing, line.doubled, line.invented)
    return (line.what, f"{line.due:,}", f"{line.once:,}", repeated, *(f"{number:,}" for number in numbers))


def table(lines: Sequence[Line]) -> str:
    """The table for a terminal."""
    rows = [HEADINGS, *map(cells, lines)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEADINGS))]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)


def markdown(lines: Sequence[Line]) -> str:
    """The table for the docs."""
    rows = [HEADINGS, ("---", *["---:"] * (len(HEADINGS) - 1)), *map(cells, lines)]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def summary(result: Result) -> str:
    """What to say at the end; where something is broken, also how to play it again."""
    told = [
        table(result.lines),
        ", ".join(f"{what} {number}" for what, number in result.struck),
        f"seed {result.seed}, {len(result.strikes)} strikes in {result.seconds:.0f} s, revision {result.revision}",
        f"at rest {result.rest:.0f} s after the last customer",
    ]
    if result.broken:
        told += [f"BROKEN: {name}: {what}" for name, what in result.broken.items()]
        told.append(f"play it again: python -m tests.endtoend --kills {len(result.strikes)} --seed {result.seed}")
    return "\n".join(told)
