"""A process beside a measurement: it says when it is ready, and at its end what it found.

Whoever writes, whoever consumes and the relay each have an interpreter of their own, so that none waits for another's
lock. Their instants may be subtracted from each other: `time.monotonic` is the machine's clock and not a process's
(CLOCK_MONOTONIC on Linux, clock_gettime(2); mach_absolute_time on macOS). Knows nothing of what such a process does.
"""

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from relay.errors import WorkFailed

READY = "ready"
"""The line of its output that says so; the last line is its answer, as JSON."""


class Aside:
    """A running process beside."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process

    def ready(self) -> None:
        """Wait until it is.

        Raises:
            WorkFailed: it ended instead.
        """
        assert self._process.stdout is not None
        text = ""
        for line in self._process.stdout:
            if line.strip() == READY:
                return
            text += line
        raise self._failed(text)

    def answer(self) -> Any:
        """Wait for its end, and return what it found.

        Raises:
            WorkFailed: it found nothing, for it failed.
        """
        assert self._process.stdout is not None
        text = self._process.stdout.read()
        if self._process.wait() != 0:
            raise self._failed(text)
        return json.loads(text.splitlines()[-1])

    def _failed(self, text: str) -> WorkFailed:
        return WorkFailed(f"a process of the benchmark ended with {self._process.wait()}: {text.strip()[-2000:]}")


@contextmanager
def aside(module: str, environment: Mapping[str, str], *arguments: object) -> Iterator[Aside]:
    """Run a module of the benchmark while the context lasts, and return once it is ready.

    Args:
        module: its name, such as `relay.bench.arrivals`.
        environment: of the process, in full.
        arguments: on its command line.

    Raises:
        WorkFailed: it failed before it was ready.
    """
    command = [sys.executable, "-m", module, *map(str, arguments)]
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        try:
            beside = Aside(process)
            beside.ready()
            yield beside
        finally:
            process.kill()


def say_ready() -> None:
    """Tell the parent, from within such a process, that it is ready."""
    print(READY, flush=True)  # noqa: T201 - its way to speak to the parent


def say_answer(found: object) -> None:
    """Tell the parent, from within such a process, what it found."""
    print(json.dumps(found))  # noqa: T201 - its way to speak to the parent
