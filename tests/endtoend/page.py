"""The table of `docs/edu-matrix.md`: what a long run found, stored beside the page and shown between two marks.

What stands between the marks is made of the stored figures alone, and never written by hand.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench import section
from tests.endtoend.result import Result, markdown
from tests.endtoend.tally import Line

PAGE = Path(__file__).parents[2] / "docs" / "edu-matrix.md"
FIGURES = PAGE.parent / "example" / "endtoend.json"

SECTION = "end to end", "make endtoend"
"""What stands between the marks, and what makes it."""


def keep(found: Result, machine: Mapping[str, str], command: str) -> None:
    """Store what a long run found instead of what the last one did, and show it on the page."""
    figures = {"command": command, "machine": dict(machine), **found.as_json()}
    FIGURES.write_text(json.dumps(figures, indent=1, ensure_ascii=False) + "\n")
    PAGE.write_text(renewed(PAGE.read_text(), json.loads(FIGURES.read_text())))


def renewed(page: str, figures: Mapping[str, Any]) -> str:
    """Return a page with other figures between its marks."""
    return section.renewed(page, *SECTION, text(figures))


def text(figures: Mapping[str, Any]) -> str:
    """Return what is shown of stored figures, as Markdown."""
    # What nothing was due of, and nothing is wrong with, tells a reader nothing.
    lines = [line for line in (Line(**values) for values in figures["lines"]) if line.due or line.broken]
    verdict = f"broken: {', '.join(figures['broken'])}" if figures["broken"] else "every promise held"
    machine = ", ".join(f"{name} {value}" for name, value in figures["machine"].items())
    struck = ", ".join(f"{what} {number}" for what, number in figures["struck"])
    head = f"`{figures['command']}`: {figures['strikes']:,} strikes in {figures['seconds'] / 60:.0f} minutes, at rest "
    return (
        f"{head}{figures['rest']:.0f} s after the last customer; **{verdict}**. Revision {figures['revision']}; "
        f"{machine}.\n\n{markdown(lines)}\n\nStruck: {struck}."
    )
