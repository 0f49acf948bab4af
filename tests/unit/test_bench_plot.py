"""What `--plot` draws, as a file: everything that is in it, the same each time, and refused before it is too late."""

import os
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.bench.figure import Figure, at_least, at_most
from relay.bench.plot import EDGE, check, draw, goodness
from relay.bench.report import Report
from relay.errors import UserMistake
from tests.unit.test_bench_figures import FIGURES, REPORT


def texts(file: Path) -> str:
    """All text of an SVG, with single spaces."""
    found = ET.parse(file).iter("{http://www.w3.org/2000/svg}text")
    return " ".join(" ".join("".join(text.itertext()).split()) for text in found)


def test_every_figure_with_a_goal_is_named_with_its_number_and_goal(tmp_path: Path) -> None:
    file = tmp_path / "figures.svg"
    draw(REPORT, file)
    drawn = texts(file)
    for figure in FIGURES[:3]:
        assert figure.name[:40] in drawn
        assert str(figure.goal) in drawn
        assert figure.part in drawn
    assert "99,000 messages/s 0.9 times its reference, goal ≥ 0.85 times" in drawn
    assert "0.12 % of a core, goal ≤ 1" in drawn
    assert "Example 1000, 2 cores" in drawn
    assert FIGURES[3].name not in drawn


def test_the_same_report_makes_the_same_small_file(tmp_path: Path) -> None:
    for name in ("one.svg", "other.svg"):
        draw(REPORT, tmp_path / name)
    one, other = ((tmp_path / name).read_bytes() for name in ("one.svg", "other.svg"))
    assert one == other
    assert len(one) < 40_000
    assert b"dc:date" not in one


def test_met_and_missed_differ_in_colour(tmp_path: Path) -> None:
    file = tmp_path / "figures.svg"
    draw(REPORT, file)
    assert "#1a7f37" in file.read_text()
    assert "#cf222e" in file.read_text()


def test_names_are_drawn_as_they_are(tmp_path: Path) -> None:
    file = tmp_path / "figures.svg"
    name = "costs $5 < $6 & x_1^2"
    draw(Report({}, [Figure("drain", name, 1, "€", goal=at_most(2))]), file)
    assert name in texts(file)


def test_a_png_is_drawn_too(tmp_path: Path) -> None:
    draw(REPORT, tmp_path / "figures.PNG")
    assert (tmp_path / "figures.PNG").read_bytes().startswith(b"\x89PNG")


def test_without_a_goal_there_is_nothing_to_compare_and_it_says_so(tmp_path: Path) -> None:
    draw(Report({}, FIGURES[3:]), tmp_path / "figures.svg")
    assert "None of these figures has a goal" in texts(tmp_path / "figures.svg")


@given(bound=st.floats(0.001, 1000), times=st.floats(0.001, 1000))
def test_right_of_the_line_is_met_whichever_way_a_goal_points(bound: float, times: float) -> None:
    for goal in (at_least(bound, "value"), at_most(bound)):
        at = goodness(goal, bound * times)
        assert 1 / EDGE <= at <= EDGE
        assert at == pytest.approx(1) or goal.met(bound * times) == (at > 1)


def test_what_has_no_ratio_is_drawn_at_the_end_of_the_scale() -> None:
    assert goodness(at_most(5), 0) == goodness(at_most(5), -1) == EDGE
    assert goodness(at_least(0.85), 0) == goodness(at_least(0.85), None) == 1 / EDGE


@pytest.mark.parametrize(
    ("name", "complaint"),
    [
        ("figures.pdf", r"is of no known kind; allowed: \.svg, \.png"),
        ("figures", "is of no known kind"),
        ("nowhere/figures.svg", "cannot be written: No such file or directory"),
        ("folder.svg", "cannot be written: Is a directory"),
        ("file.svg/figures.svg", "cannot be written: Not a directory"),
    ],
)
def test_a_file_that_cannot_be_drawn_is_refused(tmp_path: Path, name: str, complaint: str) -> None:
    (tmp_path / "folder.svg").mkdir()
    (tmp_path / "file.svg").touch()
    with pytest.raises(UserMistake, match=complaint):
        check(tmp_path / name)


def test_to_check_a_file_leaves_it_as_it_was(tmp_path: Path) -> None:
    there = tmp_path / "there.svg"
    there.write_text("an older plot")
    check(there)
    check(tmp_path / "new.svg")
    assert there.read_text() == "an older plot"
    assert os.listdir(tmp_path) == ["there.svg"]  # noqa: PTH208 - names are what is compared
