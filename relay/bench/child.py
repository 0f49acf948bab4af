"""Processes to measure: a running relay, and work that reports on itself. None outlives the benchmark."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from relay.errors import WorkFailed
from relay.local.process import Process, last_lines

GOODBYE_SECONDS = 15.0
"""Longer than the relay's own last resort after SIGTERM."""


@dataclass(frozen=True, slots=True)
class Work:
    """What a process did that drained a backlog."""

    messages: int
    seconds: float
    """From its start, interpreter and imports left out, to its end."""
    ended: float
    """When it ended, by the wall clock, in seconds since 1970: for several at once."""
    cpu_seconds: float
    peak_bytes: int

    @property
    def rate(self) -> float:
        """Messages a second."""
        return self.messages / self.seconds


def drain(environment: Mapping[str, str]) -> Work:
    """Drain an outbox by a relay of its own process."""
    return _result(_begin("drain", environment))


def drain_together(environment: Mapping[str, str], relays: int) -> list[Work]:
    """Drain an outbox by several relays at once."""
    running = [_begin("drain", environment) for _ in range(relays)]
    return [_result(process) for process in running]


def bare_loop(environment: Mapping[str, str]) -> Work:
    """Send a whole outbox by the bare loop, in a process of its own."""
    return _result(_begin("bare", environment))


def _begin(what: str, environment: Mapping[str, str]) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "relay.bench.inside", what]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def _result(process: "subprocess.Popen[str]") -> Work:
    answer, complaints = process.communicate()
    if process.returncode != 0:
        raise WorkFailed(f"a process under measurement ended with {process.returncode}: {complaints.strip()[-2000:]}")
    return Work(**json.loads(answer.splitlines()[-1]))


@contextmanager
def relay(environment: Mapping[str, str], folder: Path, command: Sequence[str] = ("run",)) -> Iterator[Process]:
    """Run a relay while the context lasts, then stop it by SIGTERM; what it logs goes to a file of the folder.

    Raises:
        WorkFailed: it ended by itself.
    """
    log = folder / f"relay-{os.urandom(4).hex()}.log"
    process = Process([sys.executable, "-m", "relay", *command], log, directory=folder, environment=environment)
    try:
        yield process
        if not process.running:
            raise WorkFailed(f"the relay under measurement ended by itself: {last_lines(log)}")
    finally:
        process.end(signal.SIGTERM, GOODBYE_SECONDS)
