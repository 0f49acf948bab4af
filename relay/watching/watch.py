"""Puts together how a running relay is watched: who hears its events, what is measured, and the port that tells it.

Without an `http_port` only the log listens: nothing is counted, and nothing is measured.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

import psycopg
from prometheus_client.exposition import choose_encoder

from relay import events
from relay.configuration.settings import Settings
from relay.leasing.pulse import Pulse
from relay.retention.chores import PRUNING, Chore
from relay.watching.backlog import Backlog, measure
from relay.watching.condition import Condition
from relay.watching.metrics import Metrics
from relay.watching.port import Answer, opened

MEASURING = "measuring the backlog"

AT_ONCE = 0.0, 0.5
"""A relay is not ready before it knows whether shards are free that it does not hold."""

UNMEASURED = (
    "publishing goes on; /metrics keeps what was measured last, with its age, until it is tried again with success"
)


@dataclass
class Watched:
    """What a relay needs to be watched."""

    tell: events.Tell
    """Whom to tell what happens."""
    chores: Sequence[Chore] = ()
    """What to do beside relaying."""
    pulse: Pulse | None = None
    """Of its loop, once that runs."""


@dataclass
class Watch:
    """One relay as it is seen over HTTP.

    Args:
        settings: its own.
        stopping: for how many seconds it has been told to stop; None while it was not.
        watched: what it was given.
        backlog: the outbox as it was measured last.
        condition: what is known of how it is.
    """

    settings: Settings
    stopping: Callable[[], float | None]
    watched: Watched
    backlog: Backlog | None = None
    condition: Condition = field(default_factory=lambda: Condition(time.monotonic))

    def __post_init__(self) -> None:
        self.metrics = Metrics(
            self.settings.topics,
            (PRUNING, MEASURING),
            lambda: self.backlog,
            lambda: self.backlog.offset if self.backlog else 0.0,
            (
                ("ready", "1 while /readyz says so.", lambda: not self.reasons()),
                ("loop_silent_seconds", "For how long the loop has not come round.", self.silent),
            ),
        )

    def measure(self, session: "psycopg.Connection") -> None:
        """Look at the outbox, and keep what was found."""
        self.backlog = measure(session, self.settings.disk_bytes)

    def silent(self) -> float:
        """For how long the loop has not come round."""
        return self.watched.pulse.silent_seconds if self.watched.pulse else 0.0

    def reasons(self) -> list[str]:
        """Why the relay is not ready."""
        pulse, since = self.watched.pulse, self.stopping()
        if since is not None:
            return [f"it was told to stop {since:.0f} s ago"]
        stuck = [f"the loop has not come round for {pulse.silent_seconds:.0f} s"] if pulse and pulse.stuck else []
        return stuck + self.condition.not_ready(self.backlog.free_shards if self.backlog else None)

    def livez(self, _: str) -> Answer:
        """Whether a new process would do better."""
        pulse = self.watched.pulse
        if pulse and pulse.hopeless:
            return Answer(
                503, f"the loop has not come round for {pulse.silent_seconds:.0f} s: start this process anew\n"
            )
        return Answer(200, "the loop comes round\n")

    def readyz(self, _: str) -> Answer:
        """Whether it does what it is there for."""
        reasons = self.reasons()
        return Answer(503, "".join(f"{reason}\n" for reason in reasons)) if reasons else Answer(200, "ready\n")

    def show(self, accept: str) -> Answer:
        """The metrics, in the format that is asked for."""
        encode, content_type = choose_encoder(accept)
        return Answer(200, encode(self.metrics.registry), content_type)


@contextmanager
def watching(settings: Settings, tell: events.Tell, stopping: Callable[[], float | None]) -> Iterator[Watched]:
    """Open the port that the settings ask for, while the context lasts.

    Args:
        settings: where, and how often to measure.
        tell: hears all events in any case.
        stopping: for how many seconds the relay has been told to stop; None while it was not.

    Raises:
        PortUnavailable: the port cannot be had.
    """
    watched = Watched(tell)
    with ExitStack() as stack:
        if settings.http_port is not None:
            watch = Watch(settings, stopping, watched)
            # Those who only count first: the log may have to wait for whoever reads it.
            watched.tell = events.all_hear(watch.condition.hear, watch.metrics.hear, tell)
            every = settings.measure_interval_seconds
            watched.chores = (Chore(MEASURING, watch.measure, every, AT_ONCE, UNMEASURED),)
            pages = {"/livez": watch.livez, "/readyz": watch.readyz, "/metrics": watch.show}
            url = stack.enter_context(opened(settings.http_host, settings.http_port, pages))
            tell(events.PortOpened(url))
        yield watched
