"""The operator's walk-through is followed word for word, on real servers that speak TLS, with an empty home."""

from pathlib import Path

import pytest

from tests import services
from tests.given import given
from tests.walkthrough import Shell, Untrue, chapters

PAGE = services.REPOSITORY / "docs" / "operations" / "walkthrough.md"

SUBJECTS = ["Install", "Roles", "TLS", "First alert", "Poison message", "Outage", "Upgrade", "Restore"]


# Three servers and three releases to install, of which the servers take half of the minute.
@pytest.mark.timeout(400)
def test_the_walk_through_is_true_word_for_word(services_folder: Path, tmp_path: Path) -> None:
    folder = services.new_folder(services_folder, "given")
    try:
        followed = chapters(PAGE.read_text())
        assert [title.split(". ")[1] for title, _ in followed] == SUBJECTS
        with given(folder) as environment, Shell(environment, tmp_path / "here", tmp_path / "notes") as shell:
            for _, blocks in followed:
                for block in blocks:
                    shell.follow(block)
    except Untrue as error:
        logs = [f"{log.name}\n{log.read_text()[-3000:]}" for log in sorted(tmp_path.glob("here/*.log"))]
        pytest.fail("\n".join((str(error), *logs)), pytrace=False)
