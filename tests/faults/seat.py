"""One relay of a campaign, with a way of its own to each server, and perhaps a clock of its own.

Its ways are proxies, so that it can be cut off alone.
"""

import os
import signal
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.faults.clock import Clock
from tests.faults.proxy import Proxy
from tests.faults.world import RelayProcess


class Seat:
    """A relay's place, whoever sits in it.

    Args:
        name: of the relay.
        to_postgres: its way to the database.
        to_kafka: its way to the broker.
        folder: for its log and its clock.
        settings: of the relay.
        program: the module to run, with arguments that go before the relay's.
        clocked: whether it has a clock that can be set.
    """

    def __init__(
        self,
        name: str,
        to_postgres: Proxy,
        to_kafka: Proxy,
        folder: Path,
        *,
        settings: Mapping[str, str],
        program: Sequence[str],
        clocked: bool,
    ) -> None:
        self.name = name
        self.to_postgres = to_postgres
        self.to_kafka = to_kafka
        self.wanted = False
        """Whether it should be running: one that ended by itself needed a person."""
        self.clock = Clock(folder, name) if clocked else None
        self._folder = folder
        self._program = program
        inherited = {key: value for key, value in os.environ.items() if not key.startswith("RELAY_")}
        self._environment = {
            **inherited,
            "DATABASE_URL": f"postgresql://postgres@127.0.0.1:{to_postgres.port}/postgres",
            "KAFKA_BROKERS": f"127.0.0.1:{to_kafka.port}",
            **(self.clock.environment if self.clock else {}),
            **settings,
        }
        self._relay: RelayProcess | None = None

    @property
    def process(self) -> RelayProcess:
        """The relay that sits here, or sat here last."""
        assert self._relay is not None
        return self._relay

    def start(self) -> None:
        """Start a relay, which waits for servers that are away."""
        self.wanted = True
        if self._relay is None:
            command = ("run", "--wait", "120")
            self._relay = RelayProcess(self.name, self._environment, self._folder, command, program=self._program)
        else:
            self._relay.start()

    def kill(self) -> None:
        """End it without warning."""
        self.wanted = False
        self.process.kill()

    def leave(self) -> None:
        """Ask it to stop, and see that it does."""
        self.wanted = False
        self.process.terminate(20)

    def send(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self.process.send(number)

    @property
    def gave_up(self) -> bool:
        """Whether it should be running and is not."""
        return self.wanted and self.process.process.poll() is not None

    def close(self) -> None:
        """End what is left."""
        if self._relay is not None:
            if self._relay.process.poll() is None:
                self._relay.send(signal.SIGCONT)
            self._relay.kill()
