"""What others wrote is shown in one line, escaped and cut; and how many of something there are, in plain words."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.printable import MOST, counted, printable, quoted, short


@given(st.text())
def test_whatever_others_wrote_is_one_line_without_control_characters(text: str) -> None:
    assert printable(text).isprintable()
    assert quoted(text).isprintable()
    assert short(text).isprintable()


@given(st.text(alphabet=st.characters(codec="ascii", categories=["L", "N"])))
def test_plain_text_is_shown_as_it_is(text: str) -> None:
    assert printable(text) == text


def test_a_megabyte_is_cut_and_said_to_be() -> None:
    assert short("k" * 1_000_000) == "k" * MOST + " … and 999,700 characters more"
    assert len(quoted("k" * 1_000_000)) < 2 * MOST


@pytest.mark.parametrize(
    ("number", "words"), [(0, "0 messages"), (1, "1 message"), (2, "2 messages"), (12_000, "12,000 messages")]
)
def test_how_many_there_are_is_said_in_plain_words(number: int, words: str) -> None:
    assert counted(number, "message") == words
