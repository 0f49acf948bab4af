"""Figures, reports, scales and the table that shows them: what a number means and how a person reads it."""

import json
import sys
from collections.abc import Iterator
from dataclasses import astuple, replace
from pathlib import Path

import psycopg
import pytest
from confluent_kafka import KafkaError, KafkaException
from hypothesis import given
from hypothesis import strategies as st

import relay.bench
from relay.bench import parts, play
from relay.bench.figure import Figure, Verdict, at_least, at_most
from relay.bench.ground import Ground
from relay.bench.part import Part
from relay.bench.report import Report
from relay.bench.scale import LONG, QUICK, STANDARD
from relay.bench.table import number, show
from relay.errors import DatabaseUnfit, DatabaseUnreachable, UserMistake, WorkFailed

NAME = "just before COMMIT to the consumer at 2,000 messages/s while a transaction stays open, 99th percentile"
NOTE = "Kafka alone 2.5 ms, the commit 0.5 ms; the writers and the consumer share one clock, and the start is left out"
FIGURES = (
    Figure(
        "drain", "drain of 1,000,000 messages", 99_000, "messages/s", 110_000, "bare loop", at_least(0.85), (0.8, 1)
    ),
    Figure("latency", NAME, 9.25, "ms", 3.125, "the commit and Kafka", at_most(1.5, "ratio"), note=NOTE),
    Figure("idle", "processor of an idle relay", 0.12, "% of a core", goal=at_most(1)),
    Figure("relays", "drain by [2] relays", 200_000, "messages/s", 110_000, "one relay"),
)
REPORT = Report({"relay": "0.1.0", "processor": "Example 1000, 2 cores"}, FIGURES)

numbers = st.floats(allow_nan=False, allow_infinity=False)


def test_a_goal_on_the_ratio_is_judged_by_the_ratio_and_one_on_the_value_by_the_value() -> None:
    assert [figure.verdict for figure in FIGURES] == [Verdict.MET, Verdict.MISSED, Verdict.MET, Verdict.REPORTED]
    assert [figure.judged for figure in FIGURES] == [0.9, 2.96, 0.12, 200_000]


@pytest.mark.parametrize("reference", [None, 0])
def test_a_goal_on_a_ratio_that_does_not_exist_is_missed(reference: float | None) -> None:
    figure = replace(FIGURES[0], reference=reference)
    assert figure.ratio is None
    assert figure.verdict is Verdict.MISSED


@given(bound=numbers)
def test_a_bound_keeps_within_itself(bound: float) -> None:
    assert at_least(bound).met(bound)
    assert at_most(bound).met(bound)


def test_goals_say_what_they_are_on() -> None:
    assert [str(figure.goal) for figure in FIGURES[:3]] == ["≥ 0.85 times", "≤ 1.5 times", "≤ 1"]


def test_a_report_survives_json() -> None:
    stored = json.loads(json.dumps(REPORT.as_json(), allow_nan=False))
    assert Report.from_json(stored) == REPORT
    assert stored["figures"][0]["goal"] == {"of": "ratio", "bound": 0.85, "direction": "at least"}
    assert [figure["verdict"] for figure in stored["figures"]] == ["met", "missed", "met", "reported"]


def test_scales_grow() -> None:
    for smaller, larger in ((QUICK, STANDARD), (STANDARD, LONG)):
        assert all(one <= other for one, other in zip(astuple(smaller)[:-1], astuple(larger)[:-1], strict=True))
        assert smaller.backlogs[-1] < larger.backlogs[-1]


@pytest.mark.parametrize(
    ("value", "text"), [(123_456.7, "123,457"), (999.6, "1,000"), (12.34, "12.3"), (0.0123, "0.0123"), (0, "0")]
)
def test_numbers_have_the_digits_that_mean_something(value: float, text: str) -> None:
    assert number(value) == text


def shown(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, columns: int) -> list[str]:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "dumb")
    monkeypatch.setenv("COLUMNS", str(columns))
    show(REPORT)
    return capsys.readouterr().out.splitlines()


def test_the_table_fits_eighty_columns_and_loses_nothing(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = shown(capsys, monkeypatch, 80)
    assert max(map(len, lines)) <= 80
    words = " ".join(" ".join(lines).split())
    assert NAME in words
    assert NOTE in words
    assert "99,000 messages/s 110,000 0.9 ≥ 0.85 times met" in words
    assert "reference: bare loop; runs: 0.8 to 1" in words
    assert "drain by [2] relays" in words
    assert "processor Example 1000, 2 cores" in words
    assert words.endswith("goals: 2 met, 1 missed; figures without one: 1")


def test_numbers_stand_under_each_other(capsys: pytest.CaptureFixture[str]) -> None:
    show(REPORT)
    lines = capsys.readouterr().out.splitlines()
    ends = {line.index("messages/s  ") for line in lines if "messages/s  " in line}
    assert len(ends) == 1
    assert lines.index("drain") < lines.index("latency") < lines.index("idle") < lines.index("relays")


def test_into_a_pipe_go_neither_colours_nor_spaces_at_the_ends_of_lines(capsys: pytest.CaptureFixture[str]) -> None:
    show(REPORT)
    lines = capsys.readouterr().out.splitlines()
    assert not any("\x1b" in line for line in lines)
    assert [line for line in lines if line != line.rstrip()] == []


def test_a_report_without_figures_is_shown_too(capsys: pytest.CaptureFixture[str]) -> None:
    show(Report({}, ()))
    assert "goals: 0 met" in capsys.readouterr().out


def test_parts_are_chosen_by_name_in_the_order_of_the_catalogue() -> None:
    names = [entry.name for entry in parts.CATALOGUE]
    assert [part.name for part in parts.chosen(())] == names
    assert [part.name for part in parts.chosen(tuple(reversed(names)))] == names
    assert [part.name for part in parts.chosen((names[-1], names[-1]))] == names[-1:]


def test_an_unknown_part_is_named_with_those_that_there_are() -> None:
    with pytest.raises(UserMistake, match=r"'dran' is no part of the benchmark; there are drain"):
        parts.chosen(("drain", "dran"))


@pytest.fixture
def another_part(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The file of one more part, `another`."""
    monkeypatch.setattr(relay.bench, "__path__", [*relay.bench.__path__, str(tmp_path)])
    monkeypatch.setattr(parts, "CATALOGUE", (parts.Entry("another", "nothing", 1, "another"),))
    return tmp_path / "another.py"


def test_a_part_whose_package_is_missing_says_how_to_get_it(
    another_part: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    another_part.write_text("import psutil")
    monkeypatch.setitem(sys.modules, "psutil", None)
    with pytest.raises(UserMistake) as caught:
        parts.chosen(())
    assert str(caught.value) == (
        "the part another needs psutil, which is not installed: pip install 'outbox-relay[bench]'"
    )


def test_a_package_that_is_missing_by_our_own_fault_is_no_mistake_of_the_user(another_part: Path) -> None:
    another_part.write_text("import there_is_no_such_package")
    with pytest.raises(ModuleNotFoundError, match="there_is_no_such_package"):
        parts.chosen(())


def nothing(*_: object) -> Iterator[Figure]:
    return iter(())


@pytest.mark.parametrize(
    ("error", "kind", "text"),
    [
        (
            psycopg.errors.DiskFull("could not extend file: No space left on device\nHINT: Check free disk space."),
            WorkFailed,
            "PostgreSQL at db:5432/shop fails in part drain: could not extend file: No space left on device",
        ),
        (
            psycopg.OperationalError("the connection is lost"),
            DatabaseUnreachable,
            "PostgreSQL at db:5432/shop went away",
        ),
        (psycopg.errors.InsufficientPrivilege("permission denied"), DatabaseUnfit, "refuses what part drain needs"),
        (
            KafkaException(KafkaError(29, "not for you")),
            WorkFailed,
            "kafka at kafka:9092 fails in part drain: not for you",
        ),
        (OSError(28, "No space left on device"), WorkFailed, "part drain has no room left on the disk"),
    ],
)
def test_what_ends_a_part_is_said_in_words_without_a_password(
    error: Exception, kind: type[Exception], text: str
) -> None:
    ground = Ground("postgresql://app:geheim@db:5432/shop", "kafka:9092", Path())
    said = play._in_words(error, Part("drain", "", 1, nothing), ground)
    assert type(said) is kind
    assert text in str(said)
    assert "geheim" not in str(said)


def test_our_own_fault_stays_a_traceback() -> None:
    ground = Ground("postgresql://db/shop", "kafka:9092", Path())
    for error in (psycopg.errors.SyntaxError("at or near"), BrokenPipeError(32, "Broken pipe")):
        assert play._in_words(error, Part("drain", "", 1, nothing), ground) is None
