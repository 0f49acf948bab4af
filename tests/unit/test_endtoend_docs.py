"""docs/edu-matrix.md: its table of what was killed is the one that is stored, and nothing in it is broken."""

import json

from tests.endtoend import page


def test_the_page_is_in_step_with_the_stored_figures() -> None:
    text = page.PAGE.read_text()
    assert page.renewed(text, json.loads(page.FIGURES.read_text())) == text, "run: make endtoend N=100"


def test_in_the_stored_run_all_were_struck_and_no_promise_was_broken() -> None:
    figures = json.loads(page.FIGURES.read_text())
    assert figures["broken"] == {}
    struck = {what for what, _ in figures["struck"]}
    roles = (
        "relay",
        "application",
        "real-time server",
        "mail server",
        "email worker",
        "audit worker",
        "PostgreSQL",
        "Kafka",
    )
    assert {f"{role} killed" for role in roles} <= struck
