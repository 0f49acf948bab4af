"""The figures that the docs hold, in one JSON file: for each part its newest report, with the machine that it is of."""

import json
import os
from collections.abc import Iterable
from pathlib import Path

from relay.bench.parts import CATALOGUE
from relay.bench.report import Report

FOLDER = Path(__file__).parents[1] / "docs" / "performance"
NAME = "figures.json"


def load(folder: Path) -> dict[str, Report]:
    """Return the stored reports by part, in the catalogue's order; none where nothing is stored."""
    file = folder / NAME
    stored = json.loads(file.read_text()) if file.exists() else {}
    return {entry.name: Report.from_json(stored[entry.name]) for entry in CATALOGUE if entry.name in stored}


def keep(folder: Path, part: str, report: Report) -> None:
    """Store what a part found, instead of what it found before."""
    reports = {**load(folder), part: report}
    text = json.dumps({name: report.as_json() for name, report in reports.items()}, indent=1, ensure_ascii=False)
    folder.mkdir(parents=True, exist_ok=True)
    # Renamed when it is complete: an hour of measuring is not lost to an interruption at this moment.
    beside = folder / f".{NAME}.new"
    beside.write_text(text + "\n")
    os.replace(beside, folder / NAME)  # noqa: PTH105 - the name says that it replaces


def together(reports: Iterable[Report]) -> Report:
    """Make one report of several: from the first date to the last, and of each of their machines if they differ."""
    parts = list(reports)
    names = {name: None for report in parts for name in report.machine if name != "load"}
    machine = {name: _either(report.machine[name] for report in parts if name in report.machine) for name in names}
    if dates := sorted(report.machine["date"] for report in parts if "date" in report.machine):
        machine["date"] = dates[0] if dates[0] == dates[-1] else f"{dates[0]} to {dates[-1]}"
    return Report(machine, [figure for report in parts for figure in report.figures])


def _either(values: Iterable[str]) -> str:
    return " / ".join(sorted(set(values)))
