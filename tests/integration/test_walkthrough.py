"""The operator's walk-through is followed word for word, on real servers that speak TLS, with an empty home."""

from pathlib import Path

import pytest

from tests import services
from tests.given import given
from tests.walkthrough import Block, Shell, Untrue, chapters

PAGE = services.REPOSITORY / "docs" / "operations" / "walkthrough.md"

SUBJECTS = ["Install", "Roles", "TLS", "First alert", "Poison message", "Outage", "Upgrade", "Restore"]


# Three servers and eight relays are started, three releases installed, and a broker is away for as long as the relay
# waits for an answer.
@pytest.mark.timeout(900)
def test_the_walk_through_is_true_word_for_word(services_folder: Path, tmp_path: Path) -> None:
    page = chapters(PAGE.read_text())
    assert [title.split(". ")[1] for title, _ in page] == SUBJECTS
    with given(services.new_folder(services_folder, "given")) as environment:
        untrue = follow([block for _, blocks in page for block in blocks], environment, tmp_path)
    if untrue:
        pytest.fail(untrue, pytrace=False)


def follow(blocks: list[Block], environment: dict[str, str], folder: Path) -> str:
    """Return what is untrue, with the ends of the logs; nothing when all is as the page says."""
    with Shell(environment, folder / "here", folder / "notes") as shell:
        try:
            for block in blocks:
                shell.follow(block)
        except Untrue as error:
            logs = [f"{log.name}\n{log.read_text()[-3000:]}" for log in sorted(folder.glob("here/*.log"))]
            return "\n".join((str(error), *logs))
    return ""
