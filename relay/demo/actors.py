"""The processes that act: relays and writers. Each ends with the demo, however that ends.

The relay does not import the application side; here it is started like any other program.
"""

import os
import signal
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

from relay.demo.stage import Stage
from relay.local.process import Process, last_lines

RELAY = (sys.executable, "-m", "relay", "run")
WRITERS = (sys.executable, "-m", "app_integration.examples.edu")
GOODBYE_SECONDS = 12.0
"""A relay needs up to 10 s to finish what is in flight (its promise at SIGTERM)."""


class Actor:
    """A program under a name, which can be killed and started again."""

    def __init__(self, name: str, command: Sequence[str], stage: Stage, stack: ExitStack) -> None:
        """Prepare the program; it is stopped when `stack` is left.

        Args:
            name: its name, also of its log file and in `RELAY_NAME`.
            command: the program and its arguments.
            stage: where it acts.
            stack: what outlives it.
        """
        self.name = name
        self._command = command
        self._environment = environment(stage, name)
        self._log = stage.folder / f"{name}.log"
        self._process: Process | None = None
        stack.callback(self.stop)

    def start(self) -> None:
        """Start it; what it prints goes on in the same log file."""
        self._process = Process(self._command, self._log, directory=Path.cwd(), environment=self._environment)

    def kill(self) -> None:
        """End it with SIGKILL: it gets no chance to say or record anything."""
        self._end(signal.SIGKILL)

    def ask_to_stop(self) -> None:
        """Send SIGTERM and return at once."""
        if self._process:
            self._process.send(signal.SIGTERM)

    def stop(self) -> None:
        """Send SIGTERM and wait for its end."""
        self._end(signal.SIGTERM)

    @property
    def running(self) -> bool:
        """Whether it was started and has not ended."""
        return self._process is not None and self._process.running

    def last_words(self) -> str:
        """Return the end of what it printed."""
        return last_lines(self._log, 6) if self._log.exists() else ""

    def _end(self, number: signal.Signals) -> None:
        if self._process:
            self._process.end(number, GOODBYE_SECONDS)
            self._process = None


def environment(stage: Stage, name: str) -> Mapping[str, str]:
    """Return the environment of a program on the stage: none of the user's own relay settings reach it."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("RELAY_")}
    return {
        **kept,
        **stage.security,
        "DATABASE_URL": stage.database_url,
        "KAFKA_BROKERS": stage.brokers,
        "RELAY_NAME": name,
        "RELAY_CONFIG": str(stage.config),
    }
