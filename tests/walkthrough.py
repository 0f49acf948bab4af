"""Reads a page of commands and what they print, and follows it: a block after the other, in one shell.

The rule, which the page tells its readers too: a block of `sh` is pasted whole, and the block of `text` after it is all
that it prints. There `…` stands for any text within a line, and on a line of its own for any lines, none too. A block
of commands without one prints nothing. No command fails, unless the page catches that: `… || echo "exit code $?"`.
"""

import os
import re
import selectors
import signal
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from relay.local.process import GUARD

ANY = "…"

FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)

WATCH_FOR_FAILURES = """
set -o errtrace
trap 'echo "exit code $?: $BASH_COMMAND" >> "{failures}"' ERR
"""
"""As with `errexit`, what is asked by `if`, `until` or `||` may fail; a reader's shell would go on after anything."""

SECONDS = 180.0


class Untrue(Exception):
    """The page says something else than what happens; the text says where, what, and what was found."""


@dataclass(frozen=True)
class Block:
    """Some commands of the page.

    Attributes:
        place: the chapter, the block's number in it, and its line of the page.
        commands: to be pasted.
        prints: what the page says that they print.
    """

    place: str
    commands: str
    prints: str

    def compare(self, printed: str) -> None:
        """Hold what was printed against the page.

        Raises:
            Untrue: it is something else.
        """
        lines = self.prints.splitlines()
        found = "".join(f"{line.rstrip()}\n" for line in printed.splitlines())
        if re.fullmatch(_pattern(lines), found):
            return
        met = max(count for count in range(len(lines) + 1) if re.match(_pattern(lines[:count]), found))
        wanted = f"the line {lines[met]!r} is missing" if met < len(lines) else "more was printed than that"
        raise Untrue(self._tell(f"{wanted}; expected\n{self.prints}", printed))

    def failed(self, failures: str, printed: str) -> Untrue:
        """Make an error of commands that failed, or did not end."""
        return Untrue(self._tell(failures, printed))

    def _tell(self, what: str, printed: str) -> str:
        return f"{self.place}: {what}\nfound\n{printed}\nof the commands\n{self.commands}"


def _pattern(lines: list[str]) -> str:
    return "".join(
        "(?:.*\n)*?" if line.strip() == ANY else ".*?".join(map(re.escape, line.rstrip().split(ANY))) + "\n"
        for line in lines
    )


def chapters(page: str) -> list[tuple[str, list[Block]]]:
    """Return the chapters of a page, which begin with `## `, each with its blocks.

    Raises:
        Untrue: there is a block that is not by the rule.
    """
    parts = re.split(r"^## (.*)\n", page, flags=re.MULTILINE)
    found, before = [], parts[0].count("\n")
    for title, text in zip(parts[1::2], parts[2::2], strict=True):
        found.append((title, list(_blocks(title, text, before + 1))))
        before += 1 + text.count("\n")
    return found


def _blocks(title: str, text: str, before: int) -> Iterator[Block]:
    fences = list(FENCE.finditer(text))
    kinds = [fence[1] for fence in fences]
    for number, (fence, kind) in enumerate(zip(fences, kinds, strict=True)):
        line = before + text[: fence.start()].count("\n") + 1
        place = f"{title!r}, block {kinds[: number + 1].count('sh')}, line {line}"
        if kind == "sh":
            prints = fences[number + 1][2] if kinds[number + 1 : number + 2] == ["text"] else ""
            yield Block(place, fence[2], prints)
        elif kind != "text" or kinds[number - 1 : number] != ["sh"]:
            raise Untrue(f"{place}: a block of {kind!r} that follows no commands")


class Shell:
    """One bash, in which blocks are pasted; ends with everything that they started.

    Args:
        environment: all of it.
        folder: where it begins; made.
        notes: for its own files; made.
    """

    def __init__(self, environment: Mapping[str, str], folder: Path, notes: Path) -> None:
        folder.mkdir()
        notes.mkdir()
        self._block, self._printed, self._failures = (notes / name for name in ("block.sh", "printed", "failures"))
        self._bash = subprocess.Popen(
            ["bash", "--noprofile", "--norc"],
            cwd=folder,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        # What the blocks leave running is of its group, and goes also when this process is killed.
        self._guard = subprocess.Popen(
            ["/bin/sh", "-c", GUARD, "guard", "KILL", f"-{self._bash.pid}"],
            stdin=subprocess.PIPE,
            start_new_session=True,
        )
        self._tell(WATCH_FOR_FAILURES.format(failures=self._failures))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()
        self._bash.communicate()
        self._guard.kill()
        self._guard.communicate()

    def follow(self, block: Block, seconds: float = SECONDS) -> None:
        """Paste a block and hold it against the page.

        Args:
            block: the block.
            seconds: how long it may take.

        Raises:
            Untrue: a command failed, it did not end in time, or it printed something else.
        """
        self._block.write_text(block.commands)
        self._printed.touch()
        self._failures.write_text("")
        self._tell(f'. "{self._block}" > "{self._printed}" 2>&1 < /dev/null; echo done\n')
        ended = self._answers(seconds)
        printed = self._printed.read_text(errors="backslashreplace")
        if not ended:
            raise block.failed(f"not done within {seconds:g} s, or the shell ended", printed)
        if failures := self._failures.read_text():
            raise block.failed(failures, printed)
        block.compare(printed)

    def _tell(self, commands: str) -> None:
        assert self._bash.stdin is not None
        self._bash.stdin.write(commands)
        self._bash.stdin.flush()

    def _answers(self, seconds: float) -> bool:
        assert self._bash.stdout is not None
        with selectors.DefaultSelector() as selector:
            selector.register(self._bash.stdout, selectors.EVENT_READ)
            return bool(selector.select(seconds)) and self._bash.stdout.readline() == "done\n"

    def _end(self) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self._bash.pid, signal.SIGKILL)
