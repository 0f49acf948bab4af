"""The figures of Edu Matrix: each command has a place on the page, and changes nothing but that."""

from pathlib import Path

import pytest

from bench import section, workers
from bench.realtime import __main__ as realtime
from bench.registrations import __main__ as registrations

COMMANDS = {"workers": workers.COMMAND, "realtime": realtime.COMMAND, "registrations": registrations.COMMAND}


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_finds_its_place_on_the_page_and_changes_that_alone(name: str, tmp_path: Path) -> None:
    page, before = tmp_path / "page.md", section.PAGE.read_text()
    page.write_text(before)
    section.tell(name, COMMANDS[name], "| a | table |", docs=False, page=page)
    assert page.read_text() == before
    section.tell(name, COMMANDS[name], "| a | table |", docs=True, page=page)
    begin, end = section.marks(name, COMMANDS[name])
    head, _, rest = before.partition(begin)
    assert page.read_text() == f"{head}{begin}\n\n| a | table |\n\n{end}{rest.partition(end)[2]}"


def test_a_page_without_the_marks_is_not_written_over() -> None:
    with pytest.raises(AssertionError, match="lost its marks of workers"):
        section.renewed("# Performance\n", "workers", workers.COMMAND, "")
