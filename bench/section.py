"""What one command measured, as a section of a page of the docs: all between two marks of its own, and nothing else.

The figures of Edu Matrix are tables that their commands make, with `--docs` into the page and without it on the screen.
"""

from pathlib import Path

from bench import store
from relay.bench.report import machine

PAGE = store.FOLDER.with_suffix(".md")


def about(database_url: str) -> str:
    """Say what the figures are of: the machine and the versions, and how busy it was when it began."""
    return f"{', '.join(f'{name} {value}' for name, value in machine(database_url).items())}."


def marks(name: str, command: str) -> tuple[str, str]:
    """Return what a section of this name begins and ends with."""
    return f"<!-- {name}: made by `{command}`, do not edit -->", f"<!-- end of {name} -->"


def renewed(page: str, name: str, command: str, text: str) -> str:
    """Return a page with another text in a section.

    Args:
        page: its text; what is between the marks is replaced.
        name: of the section.
        command: that makes it.
        text: Markdown.
    """
    begin, end = marks(name, command)
    before, found, rest = page.partition(begin)
    _, closed, after = rest.partition(end)
    assert found and closed, f"the page has lost its marks of {name}"  # noqa: PT018 - one mark is as bad as none
    return f"{before}{begin}\n\n{text}\n\n{end}{after}"


def tell(name: str, command: str, text: str, *, docs: bool, page: Path = PAGE) -> None:
    """Print what was measured, and with `docs` put it into the page too."""
    print(text)
    if docs:
        page.write_text(renewed(page.read_text(), name, command, text))
