"""Runs the command line as a person does: on a terminal, answering what it asks."""

import contextlib
import os
import pty
import select
import signal
import subprocess
import sys
import tempfile
import time
from types import TracebackType
from typing import Self

from tests.command import SECONDS, environment


class Terminal:
    """`python -m relay` with a terminal for its standard input, output and errors.

    Args:
        arguments: of the command.
        variables: of its environment.

    Attributes:
        screen: everything that was written on the terminal so far.
        code: the exit code, once it has ended.
    """

    def __init__(self, *arguments: str, **variables: str) -> None:
        self._ours, theirs = pty.openpty()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "relay", *arguments],
            cwd=tempfile.gettempdir(),
            env=environment(TERM="xterm", **variables),
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
        )
        os.close(theirs)
        self.screen = ""
        self._interrupted = False
        self.code: int | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        os.close(self._ours)

    def expect(self, text: str) -> None:
        """Read until something stands on the screen."""
        while text not in self.screen:
            assert self._read(), f"it ended without {text!r}:\n{self.screen}"

    def answer(self, text: str) -> None:
        """Type something, with whatever ends it."""
        os.write(self._ours, text.encode())

    def interrupt(self) -> None:
        """Do what Ctrl-C does, once the terminal has told the one in front; again, while it is not heard.

        A signal that comes between a prompt and the waiting for its answer is noticed only with the next.
        """
        self._interrupted = True
        self._process.send_signal(signal.SIGINT)

    def end(self) -> str:
        """Read to the end; return what stands on the screen."""
        while self._read():
            pass
        self.code = self._process.wait(SECONDS)
        assert "Traceback" not in self.screen, self.screen
        return self.screen

    def _read(self) -> bool:
        """Read what there is; False at the end."""
        deadline = time.monotonic() + SECONDS
        while not select.select([self._ours], [], [], 1)[0]:
            assert time.monotonic() < deadline, f"nothing more came:\n{self.screen}"
            if self._interrupted and self._process.poll() is None:
                self._process.send_signal(signal.SIGINT)
        # Linux answers with an error once the last one that had the terminal is gone.
        with contextlib.suppress(OSError):
            if chunk := os.read(self._ours, 65_536):
                self.screen += chunk.decode(errors="replace")
                return True
        return False
