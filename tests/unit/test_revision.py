"""What `relay migrate` says of what it did."""

import pytest

from relay.revision import moved


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        (None, "0001", "was made: 0001"),
        ("0001", "0001", "is current: 0001"),
        ("0001", "0002", "was at 0001, and is at 0002 now"),
    ],
)
def test_whether_anything_was_migrated_is_told(before: str | None, after: str, said: str) -> None:
    assert moved(before, after) == said
