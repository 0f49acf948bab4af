import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.configuration import duration


@pytest.mark.parametrize(
    ("text", "seconds"), [("0", 0), ("0d", 0), ("90s", 90), ("15m", 900), ("36h", 129_600), ("7d", 604_800)]
)
def test_a_length_of_time_is_read(text: str, seconds: int) -> None:
    assert duration.seconds(text) == seconds


@pytest.mark.parametrize(
    "text", ["", "7", "d", "-1d", "1.5h", "7 d", "7D", "07d", "1w", "3651d", "9999999999d", "\u0667d"]
)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="allowed: a whole number with s, m, h or d"):
        duration.seconds(text)


@given(st.integers(min_value=0, max_value=duration.MOST_SECONDS))
def test_what_is_written_reads_the_same(seconds: int) -> None:
    assert duration.seconds(duration.text(seconds)) == seconds
