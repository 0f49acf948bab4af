"""What an operator's choice means in options, and which choices mean nothing."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.errors import ChoiceError
from relay.operators.choice import FAILED, Choice, read
from relay.printable import printable

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)
ID = "01890a5d-ac96-774b-bcce-b302099a8057"


def refusal(**named: Any) -> str:
    with pytest.raises(ChoiceError) as caught:
        read(named.pop("ids", None), **named)
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "age"),
    [
        ("90s", timedelta(seconds=90)),
        ("15m", timedelta(minutes=15)),
        ("2h", timedelta(hours=2)),
        ("3d", timedelta(days=3)),
        ("1w", timedelta(weeks=1)),
        (" 2h ", timedelta(hours=2)),
    ],
)
def test_an_age_is_counted_back_from_the_databases_time(text: str, age: timedelta) -> None:
    assert read(None, after=text).after == age
    assert read(None, before=text).at(NOW).before == NOW - age


@pytest.mark.parametrize(
    ("text", "time"),
    [
        ("2026-01-31", datetime(2026, 1, 31, tzinfo=UTC)),
        ("2026-01-31T03:00", datetime(2026, 1, 31, 3, tzinfo=UTC)),
        ("2026-01-31 03:00:05", datetime(2026, 1, 31, 3, 0, 5, tzinfo=UTC)),
        ("2026-01-31T03:00Z", datetime(2026, 1, 31, 3, tzinfo=UTC)),
        ("2026-01-31T03:00+01:00", datetime(2026, 1, 31, 3, tzinfo=timezone(timedelta(hours=1)))),
    ],
)
def test_a_time_is_iso_8601_and_utc_unless_it_says(text: str, time: datetime) -> None:
    assert read(None, before=text).before == time


@pytest.mark.parametrize("option", ["after", "before"])
@pytest.mark.parametrize(
    "text", ["", "soon", "2 hours", "-2h", "2y", "h", "1.5h", "999999d", "2026-13-01", "0001-01-01T00:00+14:00", "3"]
)
def test_a_time_that_is_none_is_refused_with_what_is_allowed(option: str, text: str) -> None:
    said = refusal(**dict.fromkeys([option], text))
    assert f"--{option} is {text!r}; allowed: a time such as" in said
    assert "\n" not in said


def test_the_oldest_age_is_still_a_time() -> None:
    assert read(None, after="99999w").at(NOW).after == NOW - timedelta(weeks=99999)


@pytest.mark.parametrize(
    ("named", "words"),
    [
        ({}, "nothing is chosen"),
        ({"sent": True}, "nothing is chosen"),
        ({"ids": []}, "nothing is chosen"),
        ({"ids": ["7"]}, "'7' is not the id of a message; allowed: a UUID"),
        ({"ids": [ID], "topic": "t"}, "ids are given together with --topic; allowed: ids alone"),
        ({"ids": [ID], "before": "2h"}, "ids are given together with --before"),
        ({"ids": [ID], "everything": True}, "ids are given together with --all"),
        ({"everything": True, "topic": "t", "key": "k"}, "--all is given together with --topic, --key"),
        ({"everything": True, "state": "dead"}, "--all is given together with --state"),
        ({"key": "k"}, "--key is given without --topic"),
        ({"error": ""}, "--error is empty"),
        ({"state": "sent"}, "--state is 'sent'; allowed: dead, retrying, unreachable, blocked, scheduled, replaying"),
        ({"state": "blocked", "states": FAILED}, "--state is 'blocked'; allowed: dead, retrying, unreachable"),
        ({"sent": True, "topic": "t", "error": "x"}, "--error or --state is given with --sent"),
        ({"sent": True, "topic": "t", "state": "dead"}, "--error or --state is given with --sent"),
    ],
)
def test_a_choice_that_means_nothing_is_refused_by_the_name_of_the_option(named: dict[str, Any], words: str) -> None:
    assert words in refusal(**named)


def test_all_mistakes_are_told_at_once() -> None:
    assert len(refusal(ids=["x"], after="soon", before="later", key="k").splitlines()) == 5


@pytest.mark.parametrize(
    ("after", "before"), [("1h", "2h"), ("2h", "2h"), ("2026-02-01", "2026-01-01"), ("1h", "2000-01-01")]
)
def test_no_time_lies_between_two_that_stand_the_wrong_way_round(after: str, before: str) -> None:
    with pytest.raises(ChoiceError, match=r"--after is .* UTC, not earlier than --before, .* UTC"):
        read(None, after=after, before=before).at(NOW)


def test_an_id_that_is_given_twice_is_one() -> None:
    assert read([ID, ID.upper()]).ids == (UUID(ID),)


@pytest.mark.parametrize(
    ("choice", "words"),
    [
        (Choice(everything=True), "of all topics"),
        (Choice(ids=(UUID(ID),)), f"with id {ID}"),
        (Choice(topic="orders", key="7", state="dead"), "of topic 'orders', with key '7', in state dead"),
        (Choice(error="size", after=NOW), "with an error like 'size', held since 2026-01-31 12:00:00 UTC"),
        (Choice(topic="a", before=NOW, sent=True), "of topic 'a', sent before 2026-01-31 12:00:00 UTC"),
        (Choice(topic="a", key="\x1b[2J"), "of topic 'a', with key '\\x1b[2J'"),
    ],
)
def test_a_choice_is_told_in_words(choice: Choice, words: str) -> None:
    assert choice.in_words() == words


@given(st.text())
def test_printable_text_is_one_line_without_a_control_character(text: str) -> None:
    assert printable(text).isprintable()


@given(st.text(st.characters(exclude_categories=["C", "Z"])))
def test_what_is_printed_as_itself_is_left_alone(text: str) -> None:
    assert printable(text) == text
