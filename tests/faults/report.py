"""Shows what campaigns found: a table for a terminal, and the same as Markdown for the docs. Pure."""

from collections.abc import Sequence

from tests.faults.result import Result, Row, rows_of

HEADINGS = (
    "fault",
    "times",
    "committed",
    "published",
    "refused, held",
    "lost",
    "phantom",
    "out of order",
    "duplicates",
    "of these stale",
    "most of one",
    "anew",
    "caught up in s, median",
    "longest",
)


def cells(row: Row) -> tuple[str, ...]:
    """One line of the table."""
    counts = row.counts
    numbers = (
        row.faults,
        counts.committed,
        counts.published,
        counts.withheld,
        counts.lost,
        counts.phantom,
        counts.out_of_order,
        counts.duplicates,
        counts.stale,
        row.most,
        counts.anew,
    )
    return (row.kind, *(f"{number:,}" for number in numbers), _seconds(row.median), _seconds(row.longest))


def table(rows: Sequence[Row]) -> str:
    """The table for a terminal."""
    lines = [HEADINGS, *map(cells, rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(HEADINGS))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if not column else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        )
        for line in lines
    )


def markdown(rows: Sequence[Row]) -> str:
    """The table for the docs."""
    lines = [HEADINGS, ("---", *["---:"] * (len(HEADINGS) - 1)), *map(cells, rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def summary(result: Result) -> str:
    """What to say at the end of one campaign; where it is broken, also how to play it again."""
    told = [
        table(rows_of(result.steps)),
        f"seed {result.seed}, {result.faults} faults in {result.seconds:.0f} s, revision {result.revision}",
        f"{result.window} messages can be on their way at once",
    ]
    if result.broken:
        told += [f"BROKEN: {name}: {what}" for name, what in result.broken.items()]
        told.append(f"play it again: python -m tests.faults --faults {result.faults} --seed {result.seed}")
    return "\n".join(told)


def _seconds(seconds: float | None) -> str:
    return "-" if seconds is None else f"{seconds:.1f}"
