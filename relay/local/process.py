"""One child process that never outlives this program, and the little of an operating system that it takes.

A guard, a shell that waits for the end of a pipe which only this program holds open, ends the child when the
program is gone, even by SIGKILL. The parent-death signal of Linux would not do: it is sent when the *thread*
that started the child ends (prctl(2), PR_SET_PDEATHSIG), and exists on no other system. Nothing here knows
what the child is.
"""

import contextlib
import os
import random
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypedDict

from relay.errors import WorkFailed

GUARD = 'read -r _; kill -s "$1" "$2"; kill -s CONT "$2"'
"""The continuation is for a child that is stopped: it would not act on any other signal than SIGKILL."""

PORTS = range(15_000, 32_000)
"""Below the ports that Linux (32768 and up, ip(7)) and macOS (49152 and up) hand out to outgoing connections:
one of those could be taken while its server is down, even by a client's own attempt to connect to it."""


class ServiceUnavailable(WorkFailed):
    """A local server cannot be had or does not start; the text says what to install or where its log is."""


class Identity(TypedDict, total=False):
    """As whom a child runs, in the words of `subprocess.Popen`; empty for the user of this program."""

    user: int
    group: int
    extra_groups: list[int]


class Process:
    """A child process, started at once, in a session of its own (a ^C at the terminal does not reach it).

    Args:
        arguments: The program and its arguments.
        log: The file that its output is appended to.
        directory: Its working directory.
        environment: Its whole environment; None for this program's.
        identity: As whom it runs.
        farewell: The signal that the guard sends when this program is gone.
    """

    def __init__(
        self,
        arguments: Sequence[str],
        log: Path,
        *,
        directory: Path,
        environment: Mapping[str, str] | None = None,
        identity: Identity | None = None,
        farewell: signal.Signals = signal.SIGKILL,
    ) -> None:
        with log.open("ab") as output:
            self._child = subprocess.Popen(
                arguments,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=directory,
                env=environment,
                start_new_session=True,
                **(identity or {}),
            )
        self.pid = self._child.pid
        self._guard = subprocess.Popen(
            ["/bin/sh", "-c", GUARD, "guard", farewell.name.removeprefix("SIG"), str(self.pid)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    @property
    def running(self) -> bool:
        """Whether it has not ended; a stopped one is running."""
        return self._child.poll() is None

    def send(self, number: signal.Signals) -> None:
        """Send it a signal; nothing happens when it has ended."""
        self._child.send_signal(number)

    def end(self, number: signal.Signals = signal.SIGKILL, seconds: float = 20.0) -> None:
        """End it with a signal, after so many seconds with SIGKILL, and wait until it is gone."""
        self._child.send_signal(number)
        try:
            self._child.wait(seconds)
        except subprocess.TimeoutExpired:
            self._child.kill()
            self._child.wait()
        # Only now: a program that is killed in between must leave no child without a guard.
        self._guard.kill()
        self._guard.communicate()


def children(parent: int) -> list[int]:
    """Return the process ids of the direct children of a process, without those that have ended."""
    return [pid for pid, its_parent, state in _processes() if its_parent == parent and state not in "ZX"]


def alive(pids: Sequence[int]) -> list[int]:
    """Return which of some process ids still run; one that has ended but was not collected yet does not."""
    return [pid for pid, _, state in _processes() if pid in pids and state not in "ZX"]


def signal_all(pids: Sequence[int], number: signal.Signals) -> None:
    """Send a signal to processes, some of which may just have ended."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


def _processes() -> list[tuple[int, int, str]]:
    if not Path("/proc/self/stat").exists():
        listing = subprocess.run(["ps", "-A", "-o", "pid=,ppid=,stat="], capture_output=True, text=True, check=True)
        return [(int(pid), int(parent), state[0]) for pid, parent, state in map(str.split, listing.stdout.splitlines())]
    found = []
    for entry in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            # The name stands in brackets and may hold anything, brackets too (proc(5)).
            state, parent = entry.read_text(errors="replace").rpartition(")")[2].split()[:2]
            found.append((int(entry.parent.name), int(parent), state))
    return found


def free_port() -> int:
    """Return a TCP port of 127.0.0.1 that nobody listens on; at random, so that two programs rarely meet."""
    for port in random.sample(PORTS, 100):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
            return port
    raise ServiceUnavailable(f"100 ports of 127.0.0.1 from {PORTS.start} to {PORTS.stop - 1} were tried, none is free")


def last_lines(log: Path, count: int = 15) -> str:
    """Return the end of a log file, for an error's text."""
    return "\n".join(log.read_text(errors="replace").splitlines()[-count:])


def await_answer(process: Process, log: Path, seconds: float, answers: Callable[[], bool]) -> None:
    """Wait until a server answers.

    Args:
        process: The server's process.
        log: Its log, for the error's text.
        seconds: How long to wait.
        answers: Whether it answers; takes a moment itself.

    Raises:
        ServiceUnavailable: It ended, or did not answer in time; it is not running any more.
    """
    deadline = time.monotonic() + seconds
    while not answers():
        ended = not process.running
        if ended or time.monotonic() > deadline:
            process.end()
            what = "ended" if ended else f"did not answer within {seconds:g} s"
            raise ServiceUnavailable(f"a local server {what}; the end of {log}:\n{last_lines(log)}")
        time.sleep(0.02)
