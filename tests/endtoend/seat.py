"""One process of the system with its place: whoever sits there is killed, asked to go, or frozen, and started again.

Each process has a name of its own, the seat's and a number, under which it logs in at the mail server. Deaths without
warning are noted: only they, and a lost answer, excuse a mail that comes twice.
"""

import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from relay.local.process import last_lines
from tests.endtoend.notes import Notes
from tests.faults.world import RelayProcess

GOODBYE = 90.0
"""Seconds in which who is asked to go must be gone."""


@dataclass(frozen=True, slots=True)
class Role:
    """What is to be run at a seat.

    Args:
        name: of the seat.
        program: the module, with arguments that come before the command.
        command: what it is told.
        ready: whether whoever sits there is at work.
    """

    name: str
    program: Sequence[str]
    command: Sequence[str]
    ready: Callable[[], bool]

    @property
    def kind(self) -> str:
        """The name without its number: what a table calls it."""
        return self.name.removesuffix(" one").removesuffix(" two")


class Seat:
    """A seat; `role` says for what.

    Args:
        role: of who sits there.
        folder: for the log.
        variables: the environment.
        deaths: where deaths are noted.
    """

    def __init__(self, role: Role, folder: Path, variables: Mapping[str, str], deaths: Notes) -> None:
        self.role = role
        self._folder = folder
        self._variables = variables
        self._deaths = deaths
        self._number = 0
        self._process: RelayProcess | None = None

    @property
    def name(self) -> str:
        """Of the seat."""
        return self.role.name

    @property
    def log(self) -> Path:
        """What all who sat here have said."""
        return self._folder / f"{self.name.replace(' ', '-')}.log"

    def start(self) -> None:
        """Start a process."""
        self._number += 1
        variables = {**self._variables, "SMTP_USERNAME": self._who, "SMTP_PASSWORD": "none"}
        self._process = RelayProcess(
            self.name.replace(" ", "-"), variables, self._folder, self.role.command, program=self.role.program
        )

    @property
    def _who(self) -> str:
        return f"{self.name}.{self._number}"

    @property
    def process(self) -> RelayProcess:
        """Who sits here, or sat here last."""
        assert self._process is not None
        return self._process

    @property
    def gave_up(self) -> bool:
        """Whether it has ended by itself."""
        return self.process.process.poll() is not None

    def last_words(self) -> str:
        """Say who sits here, and what was said last."""
        return f"{self.name}: {last_lines(self.log)}"

    def kill(self) -> None:
        """End it without warning."""
        self.process.kill()
        self._deaths.note("killed", process=self._who, seat=self.role.kind)

    def leave(self) -> int | None:
        """Ask it to go; return its exit code, or None when it had to be killed."""
        try:
            return self.process.terminate(GOODBYE)
        except subprocess.TimeoutExpired:
            self.kill()
            return None

    def send(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self.process.send(number)

    def close(self) -> None:
        """End what is left."""
        if self._process is not None:
            if not self.gave_up:
                self.send(signal.SIGCONT)
            self.process.kill()
