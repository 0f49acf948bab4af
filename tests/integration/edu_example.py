"""All of Edu Matrix as `make example` starts it: a process of its own, and whatever that starts."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from uuid import uuid4

import psutil
import pytest

from tests.command import environment

SECONDS = 120.0


class Example:
    """The program at work in an empty folder, with all that it ever started."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.mark = uuid4().hex
        self.output = ""
        self.process = subprocess.Popen(
            [sys.executable, "-m", "app_integration", "example", "start", *options],
            cwd=folder,
            # Of servers that somebody has set up for other work nothing may be touched.
            env=environment(
                RELAY_CACHE=os.environ["RELAY_CACHE"],
                EXAMPLE_UNDER_TEST=self.mark,
                DATABASE_URL="postgresql://nobody@127.0.0.1:1/none",
                KAFKA_BROKERS="127.0.0.1:1",
                WORKER_TOPIC="not-ours",
            ),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def address(self, of: str) -> str:
        """Read on until an address is told."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.output += line
            if line.startswith(of):
                found = re.search(r"\S+://\S+", line)
                assert found is not None, line
                return found[0]
        pytest.fail(f"it ended without telling {of!r}:\n{self.output}")

    def stop(self) -> int:
        self.process.send_signal(signal.SIGINT)
        assert self.process.stdout is not None
        self.output += self.process.stdout.read()
        return self.process.wait(SECONDS)

    def left(self) -> list[psutil.Process]:
        ours = [process for process in psutil.process_iter() if self._is_ours(process)]
        return psutil.wait_procs(ours, timeout=10)[1]

    def _is_ours(self, process: psutil.Process) -> bool:
        try:
            return process.environ().get("EXAMPLE_UNDER_TEST") == self.mark
        except psutil.Error:
            return False
