"""What a relay does beside relaying, now and then, on threads and sessions of its own: it prunes, and is given more.

Guarantees: nothing that goes wrong here ends the relay or holds it up; it is told with its consequence, and tried
again. Of several relays on one database each has its own times, and one at a time prunes.
"""

import contextlib
import random
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import psycopg
from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.interval import IntervalTrigger

from relay import events
from relay.configuration import duration
from relay.configuration.loading import renewed
from relay.configuration.settings import Settings
from relay.connection import connect, first_line
from relay.errors import AlreadyPruning, RelayError
from relay.retention.prune import PERIODS, Fate, Pruned, prune

SOONEST_SECONDS, LATEST_SECONDS = 10.0, 3_600.0
"""Between two runs of pruning. One that finds nothing to do takes tens of milliseconds, and about a second where a week
of busy checkpoints is looked through."""

RUNS_A_PERIOD = 25
"""What is kept for longer than the retention is at most that share of a slot more."""

FIRST_SECONDS = 2.0, 8.0
"""After the start: soon, for a relay that is restarted often must prune too, but not all of them at once."""

JITTER = 0.2
"""By what share of the interval runs come sooner or later, so that many relays do not stay in step."""

CANCEL_SECONDS = 2.0
"""How long a stop waits for the server to take note that a statement should end."""

AGAIN_SECONDS = 600.0
"""Between two times of telling that the same chore fails."""

PRUNING = "pruning"

UNPRUNED = "nothing is lost, but what was sent stays on disk until it is tried again with success"


def interval(retention: float) -> float:
    """Seconds between two runs: within bounds, a fraction of the time after which new rows go to another slot."""
    return min(LATEST_SECONDS, max(SOONEST_SECONDS, retention / PERIODS / RUNS_A_PERIOD))


@dataclass(frozen=True, slots=True)
class Chore:
    """Something that is done now and then.

    Args:
        name: what it is, as a line of a log says it.
        act: does it, on a session that is opened for it and closed after it.
        seconds: between two runs, about.
        first_seconds: until the first run, at least and at most.
        consequence: what it means when it was not done.
    """

    name: str
    act: Callable[["psycopg.Connection"], None]
    seconds: float
    first_seconds: tuple[float, float]
    consequence: str


class Chores:
    """The chores of one relay.

    Args:
        settings: where the database is and for how long sent messages are kept.
        tell: hears what was done, and what was not. It is called on the chores' own threads.
        also: chores beside pruning; none waits for another.
    """

    def __init__(self, settings: Settings, tell: events.Tell, also: Sequence[Chore] = ()) -> None:
        self._settings = settings
        self._retention = duration.seconds(settings.retention)
        self._tell = tell
        self._stopping = False
        self._told: dict[str, float] = {}
        """When it was told last that a chore fails, by the monotonic clock; nothing of one that goes well."""
        self._sessions: dict[str, psycopg.Connection] = {}
        pruning = Chore(PRUNING, self._prune, interval(self._retention), FIRST_SECONDS, UNPRUNED)
        self._chores = (pruning, *also)
        self._scheduler = BackgroundScheduler(
            timezone=UTC, executors={"default": ThreadPoolExecutor(len(self._chores))}
        )

    def start(self) -> None:
        """Begin: the first run of each comes soon, the others at their interval."""
        for chore in self._chores:
            soon = timedelta(seconds=random.uniform(*chore.first_seconds))  # noqa: S311 - keeps no secret
            self._scheduler.add_job(
                self.do,
                # APScheduler's own class takes whole seconds, and would round an interval of one down to none.
                IntervalTrigger(seconds=max(1, round(chore.seconds)), jitter=int(chore.seconds * JITTER), timezone=UTC),
                args=(chore,),
                next_run_time=datetime.now(UTC) + soon,
                # A run that could not begin in time, for the last one or this machine was slow, is made up for once.
                misfire_grace_time=None,
                coalesce=True,
                max_instances=1,
            )
        self._scheduler.start()

    def stop(self) -> None:
        """End what is under way between two of its steps, and return once it has ended."""
        self._stopping = True
        for session in list(self._sessions.values()):
            # What cannot be cancelled, since the session is gone, has ended or will when its connection gives up.
            with contextlib.suppress(psycopg.Error):
                session.cancel_safe(timeout=CANCEL_SECONDS)
        self._scheduler.shutdown(wait=True)

    def prune(self) -> None:
        """Prune once, now."""
        self.do(self._chores[0])

    def do(self, chore: Chore) -> None:
        """Do a chore once, on a session that is opened for it."""
        if self._stopping:
            return
        try:
            with connect(renewed(self._settings).database_url, self._settings.name) as session:
                self._sessions[chore.name] = session
                chore.act(session)
        except (RelayError, psycopg.Error) as error:
            if not self._stopping:
                self._complain(chore, error)
        else:
            self._told.pop(chore.name, None)
        finally:
            self._sessions.pop(chore.name, None)

    def _complain(self, chore: Chore, error: Exception) -> None:
        now = time.monotonic()
        if now - self._told.get(chore.name, -AGAIN_SECONDS) >= AGAIN_SECONDS:
            self._told[chore.name] = now
            self._tell(events.ChoreFailed(chore.name, first_line(error), chore.consequence))

    def _prune(self, session: "psycopg.Connection") -> None:
        with contextlib.suppress(AlreadyPruning):
            self._report(prune(session, self._retention, stopping=lambda: self._stopping))

    def _report(self, done: Pruned) -> None:
        for emptied in done.of(Fate.EMPTIED):
            self._tell(events.SlotEmptied(emptied.slot, emptied.bytes))
        for busy in done.of(Fate.BUSY):
            if not self._stopping:
                self._tell(events.SlotBusy(busy.slot, busy.holders))
        if done.rotated:
            self._tell(events.Rotated(done.today))


@contextlib.contextmanager
def done_beside(settings: Settings, tell: events.Tell, also: Sequence[Chore] = ()) -> Iterator[None]:
    """Do the chores while the context lasts."""
    chores = Chores(settings, tell, also)
    chores.start()
    try:
        yield
    finally:
        chores.stop()
