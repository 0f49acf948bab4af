"""The reader of a page of commands finds what is untrue in it, and says where."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.walkthrough import Block, Shell, Untrue, chapters

PAGE = """
# A page

## 1. Here

```sh
echo one
cat <<'TEXT'
two
TEXT
```
```text
one
two
```

Some words.

```sh
cd /
```

## 2. There

```sh
pwd
```
```text
/
```
"""


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    with Shell({"PATH": "/usr/bin:/bin"}, tmp_path / "here", tmp_path / "notes") as started:
        yield started


def block(commands: str, prints: str = "") -> Block:
    return Block("'1. Here', block 1, line 6", commands, prints)


def test_a_page_is_followed_in_one_shell(shell: Shell) -> None:
    found = chapters(PAGE)
    assert [(title, [each.place for each in blocks]) for title, blocks in found] == [
        ("1. Here", ["'1. Here', block 1, line 6", "'1. Here', block 2, line 19"]),
        ("2. There", ["'2. There', block 1, line 25"]),
    ]
    for _, blocks in found:
        for each in blocks:
            shell.follow(each)


@pytest.mark.parametrize(
    ("prints", "printed"),
    [
        ("", ""),
        ("one\n", "one\n"),
        ("one", "one  \n"),
        ("at … of …\n", "at 10:00 of today\n"),
        ("one\n…\n", "one\n"),
        ("…\nlast\n", "one\ntwo\nlast\n"),
        ("one\n…\nlast\n", "one\n\n[two]\nlast\n"),
    ],
)
def test_what_is_true_passes(prints: str, printed: str) -> None:
    block("echo", prints).compare(printed)


@pytest.mark.parametrize(
    ("prints", "printed", "said"),
    [
        ("", "one\n", "more was printed than that"),
        ("one\n", "", "the line 'one' is missing"),
        ("one\n", "one\ntwo\n", "more was printed than that"),
        ("one\ntwo\n", "one\nthree\n", "the line 'two' is missing"),
        ("a…c\n", "ab\nc\n", "the line 'a…c' is missing"),
        ("a.c\n", "abc\n", "the line 'a.c' is missing"),
        ("…\nlast\n", "one\nlast\nmore\n", "more was printed than that"),
    ],
)
def test_what_is_untrue_is_told_with_its_place(prints: str, printed: str, said: str) -> None:
    with pytest.raises(Untrue) as found:
        block("echo", prints).compare(printed)
    assert said in str(found.value)
    assert "'1. Here', block 1, line 6" in str(found.value)
    assert f"found\n{printed}" in str(found.value)


@pytest.mark.parametrize(
    ("commands", "said"),
    [
        ("false; echo done", "exit code 1: false"),
        ("deep() { (exit 3); true; }; deep", "exit code 3"),
        ("cat missing", "exit code 1: cat missing"),
        ("exit 0", "or the shell ended"),
        ("sleep 30", "not done within 0.5 s"),
    ],
)
def test_a_command_that_fails_or_does_not_end_is_told(commands: str, said: str, shell: Shell) -> None:
    with pytest.raises(Untrue) as found:
        shell.follow(block(commands, "…"), 0.5 if "sleep" in commands else 30)
    assert said in str(found.value)


def test_a_command_may_fail_where_the_page_says_so(shell: Shell) -> None:
    shell.follow(block('false || echo "exit code $?"\nuntil test -e here; do touch here; done', "exit code 1"))


@pytest.mark.parametrize("page", ["## 1\n```text\none\n```\n", "## 1\n```sh\n```\n```text\n```\n```text\n```\n"])
def test_output_that_follows_no_commands_is_refused(page: str) -> None:
    with pytest.raises(Untrue, match="follows no commands"):
        chapters(page)
