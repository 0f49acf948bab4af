"""The figures of the docs: stored part by part, and shown on the page as they are stored."""

from dataclasses import replace
from pathlib import Path

import pytest

from bench import growth, page, store
from relay.bench.figure import Figure, at_least
from relay.bench.parts import CATALOGUE
from relay.bench.report import Report
from tests.unit.test_bench_figures import FIGURES, REPORT
from tests.unit.test_bench_plot import texts

PAGE = store.FOLDER.with_suffix(".md")

GROWTH = [
    Figure("growth", f"drain of {depth} messages, start subtracted", 150_000, "messages/s")
    for depth in ("10,000", "1,000,000", "100,000")
] + [
    Figure("growth", f"drain of 9 payloads of {size}", 20, "MB/s", 22, "bare loop", at_least(0.85))
    for size in ("1 MiB", "100 B", "10 kB")
]


def test_the_page_is_in_step_with_the_stored_figures() -> None:
    text = PAGE.read_text()
    assert page.renewed(text, store.load(store.FOLDER), store.FOLDER.name) == text, "run: python -m bench.page"


def test_the_plots_are_of_the_stored_figures() -> None:
    for report in store.load(store.FOLDER).values():
        drawn = texts(store.FOLDER / page.FIGURES)
        assert [figure.name for figure in report.figures if figure.goal and figure.name[:40] not in drawn] == []


def test_every_part_is_explained_on_the_page() -> None:
    text = PAGE.read_text()
    assert [entry.name for entry in CATALOGUE if f"| `{entry.name}` |" not in text] == []


def test_a_part_that_is_measured_again_replaces_itself_alone(tmp_path: Path) -> None:
    assert store.load(tmp_path) == {}
    store.keep(tmp_path / "performance", "drain", Report({"relay": "1"}, FIGURES[:1]))
    store.keep(tmp_path / "performance", "drain", Report({"relay": "2"}, FIGURES[:1]))
    assert store.load(tmp_path / "performance") == {"drain": Report({"relay": "2"}, FIGURES[:1])}
    assert [file.name for file in (tmp_path / "performance").iterdir()] == [store.NAME]


def test_reports_of_two_machines_name_both() -> None:
    one, other = (Report({"processor": name, "system": "Linux", "load": name}, FIGURES[:1]) for name in "ab")
    assert store.together([one, other]).machine == {"processor": "a / b", "system": "Linux"}
    assert len(store.together([one, other]).figures) == 2


def test_several_reports_are_of_the_time_from_the_first_to_the_last() -> None:
    reports = [Report({"date": f"2026-11-{day} 10:00 UTC"}, ()) for day in (24, 23, 25)]
    assert store.together(reports).machine == {"date": "2026-11-23 10:00 UTC to 2026-11-25 10:00 UTC"}
    assert store.together(reports[:1]).machine == {"date": "2026-11-24 10:00 UTC"}


def test_only_what_is_between_the_marks_changes() -> None:
    before = f"# Title\n\n{page.BEGIN}\nold\n{page.END}\n\nthe end\n"
    after = page.renewed(before, {"drain": Report(REPORT.machine, FIGURES[:1])}, "performance")
    assert after.startswith(f"# Title\n\n{page.BEGIN}\n")
    assert after.endswith(f"{page.END}\n\nthe end\n")
    assert "old" not in after
    row = (
        "| drain of 1,000,000 messages | 99,000 messages/s | 110,000, bare loop | 0.9 | 0.8 to 1 | ≥ 0.85 times | met |"
    )
    assert row in after


def test_a_missed_goal_is_seen() -> None:
    figure = replace(FIGURES[0], value=1.0)
    assert "**missed**" in page.text({"drain": Report({}, [figure])}, "performance")


def test_growth_is_read_from_the_names_and_drawn_in_order(tmp_path: Path) -> None:
    assert [point.at for point in growth.depths(GROWTH)] == [10_000, 100_000, 1_000_000]
    assert [point.name for point in growth.sizes(GROWTH)] == ["100 B", "10 kB", "1 MiB"]
    assert growth.draw([*FIGURES, *GROWTH], tmp_path / "growth.svg")
    assert "1,000,000" in texts(tmp_path / "growth.svg")
    assert "bare loop" in texts(tmp_path / "growth.svg")


def test_without_growth_nothing_is_drawn(tmp_path: Path) -> None:
    assert not growth.draw(FIGURES, tmp_path / "growth.svg")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("missing", [page.BEGIN, page.END])
def test_a_page_without_its_marks_is_not_written_over(missing: str) -> None:
    with pytest.raises(AssertionError, match="lost its marks"):
        page.renewed(f"{page.BEGIN}{page.END}".replace(missing, ""), {}, "performance")
