"""docs/reliability.md: what it says holds a promise exists, and its figures are those that are stored."""

import json
import re

from tests.faults import page
from tests.faults.breakages import BREAKAGES
from tests.faults.kinds import KINDS
from tests.services import REPOSITORY


def test_every_test_that_the_page_names_exists() -> None:
    named = set(re.findall(r"`(test_\w+)`", page.PAGE.read_text()))
    there = {
        name
        for file in (REPOSITORY / "tests").rglob("test_*.py")
        for name in re.findall(r"^(?:async )?def (test_\w+)", file.read_text(), re.MULTILINE)
    }
    assert named
    assert named <= there


def test_the_page_is_in_step_with_the_stored_figures() -> None:
    text = page.PAGE.read_text()
    assert page.renewed(text, json.loads(page.FIGURES.read_text())) == text, "run: make faults"


def test_the_stored_run_met_every_kind_of_fault_but_newer_ones_and_broke_no_promise() -> None:
    figures = json.loads(page.FIGURES.read_text())
    newer = page.newer_kinds(figures)
    # The page names them, below the figures that they have no part in; most of a run may not be out of date.
    assert all(name in page.PAGE.read_text().partition("Newer than this run: ")[2].partition("\n")[0] for name in newer)
    assert len(newer) <= len(KINDS) // 10
    assert [campaign["seed"] for campaign in figures["campaigns"] if campaign["broken"]] == []


def test_the_page_tells_of_every_breakage() -> None:
    rows = page.PAGE.read_text().partition("## It can fail")[2].partition("\n\n| broken")[2].partition("\n\n")[0]
    # One line each, below the line of dashes; and one for pruning, which is not done by a relay.
    assert len(rows.splitlines()) - 2 == len(BREAKAGES) + 1
