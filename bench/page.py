"""`python -m bench.page`: puts the stored figures between two marks of `docs/performance.md`, and draws them.

What stands between the marks is made of `docs/performance/figures.json` alone and never written by hand.
"""

from pathlib import Path

from bench import growth, section, store
from relay.bench import plot
from relay.bench.figure import Figure, Verdict
from relay.bench.parts import CATALOGUE
from relay.bench.report import Report
from relay.bench.table import number, summary

SECTION = "figures", "python -m bench.page"
"""What stands between the marks, and what makes it."""

BEGIN, END = section.marks(*SECTION)

FIGURES, GROWTH = "figures.svg", "growth.svg"

WORDS = {Verdict.MET: "met", Verdict.MISSED: "**missed**", Verdict.REPORTED: ""}


def renew(folder: Path) -> None:
    """Draw what is stored in a folder, and put it into the page of the same name beside the folder, if there is one."""
    reports = store.load(folder)
    if reports:
        report = store.together(reports.values())
        plot.draw(report, folder / FIGURES)
        growth.draw(report.figures, folder / GROWTH)
    page = folder.with_suffix(".md")
    if page.exists():
        page.write_text(renewed(page.read_text(), reports, folder.name))


def renewed(page: str, reports: dict[str, Report], folder: str) -> str:
    """Return a page with other figures.

    Args:
        page: its text; what is between the marks is replaced.
        reports: the stored reports by part.
        folder: where the plots are, as seen from the page.
    """
    return section.renewed(page, *SECTION, text(reports, folder))


def text(reports: dict[str, Report], folder: str) -> str:
    """Return what is shown of stored reports, as Markdown."""
    if not reports:
        return "No figures are stored: `make bench` measures them."
    report = store.together(reports.values())
    about = {entry.name: entry.about for entry in CATALOGUE}
    blocks = [
        f"![How far each figure is from its goal]({folder}/{FIGURES})",
        f"{summary(report).capitalize()}. {', '.join(f'{name} {value}' for name, value in report.machine.items())}.",
    ]
    for part, found in reports.items():
        blocks += [f"### `{part}`: {about[part]}", "\n".join(_table(found))]
        if part == growth.PART and growth.depths(found.figures) and growth.sizes(found.figures):
            blocks.append(f"![Growth with the backlog and with the payload]({folder}/{GROWTH})")
    return "\n\n".join(blocks)


def _table(report: Report) -> list[str]:
    head = "| figure | measured | reference | ratio | runs | goal | |"
    return [head, "|---|---|---|---|---|---|---|", *map(_row, report.figures)]


def _row(figure: Figure) -> str:
    reference = "" if figure.reference is None else f"{number(figure.reference)}, {figure.against}"
    cells = (
        f"{figure.name} ({figure.note})" if figure.note else figure.name,
        f"{number(figure.value)} {figure.unit}",
        reference,
        "" if figure.ratio is None else number(figure.ratio),
        f"{number(min(figure.runs))} to {number(max(figure.runs))}" if len(figure.runs) > 1 else "",
        str(figure.goal or ""),
        WORDS[figure.verdict],
    )
    return f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |"


if __name__ == "__main__":
    renew(store.FOLDER)
