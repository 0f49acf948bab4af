"""The figures of `docs/reliability.md`: what a long run found, stored beside the page and shown between two marks.

What stands between the marks is made of the stored figures alone, and never written by hand.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bench import section
from tests.faults.kinds import KINDS
from tests.faults.report import markdown
from tests.faults.result import Result, Row, rows_of
from tests.faults.tally import Counts

PAGE = Path(__file__).parents[2] / "docs" / "reliability.md"
FIGURES = PAGE.with_suffix("") / "campaigns.json"

SECTION = "campaigns", "make faults"
"""What stands between the marks, and what makes it."""

BEGIN, END = section.marks(*SECTION)


def keep(results: Sequence[Result], machine: Mapping[str, str], command: str) -> None:
    """Store what a long run found instead of what the last one did, and show it on the page."""
    FIGURES.parent.mkdir(exist_ok=True)
    FIGURES.write_text(json.dumps(stored(results, machine, command), indent=1, ensure_ascii=False) + "\n")
    PAGE.write_text(renewed(PAGE.read_text(), json.loads(FIGURES.read_text())))


def stored(results: Sequence[Result], machine: Mapping[str, str], command: str) -> dict[str, Any]:
    """What is kept of a long run: each campaign by its seed, and the counts of each kind of fault."""
    steps = [step for result in results for step in result.steps]
    return {
        "command": command,
        "machine": dict(machine),
        "campaigns": [
            {
                "seed": result.seed,
                "faults": result.faults,
                "seconds": round(result.seconds),
                "revision": result.revision,
                "window": result.window,
                "broken": dict(result.broken),
            }
            for result in results
        ],
        # Also those that only struck together with others, which have no row of their own.
        "met": sorted({each.partition(" (")[0] for step in steps for each in step.told.split(" + ")}),
        "rows": [asdict(row) for row in rows_of(steps)],
    }


def renewed(page: str, figures: Mapping[str, Any]) -> str:
    """Return a page with other figures between its marks."""
    return section.renewed(page, *SECTION, text(figures))


def text(figures: Mapping[str, Any]) -> str:
    """Return what is shown of stored figures, as Markdown."""
    rows = [Row(**{**row, "counts": Counts(**row["counts"])}) for row in figures["rows"]]
    campaigns = figures["campaigns"]
    broken = [campaign for campaign in campaigns if campaign["broken"]]
    verdict = f"broken: seeds {', '.join(str(each['seed']) for each in broken)}" if broken else "every promise held"
    minutes = sum(campaign["seconds"] for campaign in campaigns) / 60
    revisions = ", ".join(dict.fromkeys(each["revision"] for each in campaigns))
    machine = ", ".join(f"{name} {value}" for name, value in figures["machine"].items())
    head = f"`{figures['command']}`: {rows[-1].faults:,} faults in {len(campaigns)} campaigns, {minutes:.0f} minutes; "
    seeds = ", ".join(str(each["seed"]) for each in campaigns)
    newer = f"\n\nNewer than this run: {', '.join(names)}." if (names := newer_kinds(figures)) else ""
    return (
        f"{head}**{verdict}**. Revision {revisions}; {machine}.\n\n{markdown(rows)}\n\n"
        f"Seeds of the campaigns: {seeds}.{newer}"
    )


def newer_kinds(figures: Mapping[str, Any]) -> list[str]:
    """The kinds of fault that the stored run has not met, since they were added later."""
    return sorted({kind.name for kind in KINDS} - set(figures["met"]))
