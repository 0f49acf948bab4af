"""What happens to relays: killed, stopped, asked to go, joined, robbed of their sessions, given another time of day."""

import random
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

from relay import locks
from tests.faults.kinds.fault import Fault, Kind, lasting
from tests.faults.stage import CLOCKED, Stage

PERMANENT = ("one", "two")

TERMINATE = """
-- terminate: some of a relay's sessions
select pg_terminate_backend(pid) from pg_stat_activity
where application_name = %s and pid %% %s = 0
"""


@dataclass(frozen=True, slots=True)
class OfRelay(Fault):
    """A fault of one relay."""

    relay: str

    @property
    def subjects(self) -> frozenset[str]:
        return frozenset({f"relay {self.relay}"})

    def __str__(self) -> str:
        return f"{self.relay}, for {self.seconds:.1f} s"


class Killed(OfRelay):
    """Its process ends in the middle of whatever it does; another is started."""

    @contextmanager
    def befall(self, stage: Stage) -> Iterator[None]:
        stage.seats[self.relay].kill()
        yield
        stage.seats[self.relay].start()


class Stopped(OfRelay):
    """Its process stands still, and goes on as if no time had passed."""

    @contextmanager
    def befall(self, stage: Stage) -> Iterator[None]:
        stage.seats[self.relay].send(signal.SIGSTOP)
        yield
        stage.seats[self.relay].send(signal.SIGCONT)


class Restarted(OfRelay):
    """It is asked to stop, as at a rollout, and another is started."""

    @contextmanager
    def befall(self, stage: Stage) -> Iterator[None]:
        stage.seats[self.relay].leave()
        yield
        stage.seats[self.relay].start()


class Joined(Fault):
    """A third relay joins, and leaves again: shards move twice."""

    @property
    def subjects(self) -> frozenset[str]:
        return frozenset({"relay three"})

    @contextmanager
    def befall(self, stage: Stage) -> Iterator[None]:
        stage.seats["three"].start()
        yield
        stage.seats["three"].leave()


class AllKilled(Fault):
    """Both permanent relays end at once."""

    @property
    def subjects(self) -> frozenset[str]:
        return frozenset(f"relay {name}" for name in PERMANENT)

    @contextmanager
    def befall(self, stage: Stage) -> Iterator[None]:
        for name in PERMANENT:
            stage.seats[name].kill()
        yield
        for name in PERMANENT:
            stage.seats[name].start()


@dataclass(frozen=True, slots=True)
class SessionsEnded(OfRelay):
    """An administrator ends all of its sessions, or about half of them."""

    every: int

    @property
    def subjects(self) -> frozenset[str]:
        return frozenset({f"relay {self.relay}", "postgres"})

    @contextmanager
    def befall(self, stage: Stage) -> Iterator[None]:
        with stage.administer() as administrator:
            administrator.execute(TERMINATE, (locks.application_name(self.relay), self.every))
        yield


@dataclass(frozen=True, slots=True)
class ClockSet(OfRelay):
    """Its time of day is set, and set right again."""

    by: int

    @contextmanager
    def befall(self, stage: Stage) -> Iterator[None]:
        clock = stage.seats[self.relay].clock
        assert clock is not None
        clock.set(self.by)
        yield
        clock.set(0)

    def __str__(self) -> str:
        return f"{self.relay} by {self.by:+d} s, for {self.seconds:.1f} s"


def _clock_set(random_: random.Random) -> Fault:
    return ClockSet(1 + lasting(random_, 4), CLOCKED, random_.choice([-86_400, -3_000, -5, 5, 3_000, 9_000]))


def _of_relay(kind: type[OfRelay], most: float, random_: random.Random, **more: Any) -> Fault:
    drawn = {name: random_.choice(choices) for name, choices in more.items()}
    return kind(lasting(random_, most), random_.choice(PERMANENT), **drawn)


RELAYS = (
    Kind("relay killed", partial(_of_relay, Killed, 4), 4),
    Kind("relay stopped", partial(_of_relay, Stopped, 4), 2),
    Kind("relay stopped until others take over", lambda random_: Stopped(10.0, random_.choice(PERMANENT)), 2),
    Kind("relay asked to stop", partial(_of_relay, Restarted, 2), 2),
    Kind("relay joins and leaves", lambda random_: Joined(2 + lasting(random_, 4)), 2),
    Kind("all relays killed", lambda random_: AllKilled(lasting(random_, 2)), 2),
    Kind("relay's sessions ended", partial(_of_relay, SessionsEnded, 0.5, every=[1, 2]), 2),
    Kind("relay's clock set", _clock_set, 2),
)
