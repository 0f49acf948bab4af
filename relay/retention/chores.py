"""What a relay does beside relaying, now and then, on a thread and sessions of its own: it prunes.

Guarantees: nothing that goes wrong here ends the relay or holds it up; it is told with its consequence, and tried
again. Of several relays on one database each has its own times, and one at a time works.
"""

import contextlib
import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import psycopg
from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.interval import IntervalTrigger

from relay import duration, events
from relay.connection import connect, first_line
from relay.errors import AlreadyPruning, RelayError
from relay.retention.prune import PERIODS, Fate, Pruned, prune
from relay.settings import Settings, renewed

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

UNPRUNED = "nothing is lost, but what was sent stays on disk until it is tried again with success"


def interval(retention: float) -> float:
    """Seconds between two runs: within bounds, a fraction of the time after which new rows go to another slot."""
    return min(LATEST_SECONDS, max(SOONEST_SECONDS, retention / PERIODS / RUNS_A_PERIOD))


class Chores:
    """The chores of one relay.

    Args:
        settings: where the database is and for how long sent messages are kept.
        tell: hears what was done, and what was not. It is called on the chores' own thread.
    """

    def __init__(self, settings: Settings, tell: events.Tell) -> None:
        self._settings = settings
        self._retention = duration.seconds(settings.retention)
        self._tell = tell
        self._stopping = False
        self._session: psycopg.Connection | None = None
        self._scheduler = BackgroundScheduler(timezone=UTC, executors={"default": ThreadPoolExecutor(1)})

    def start(self) -> None:
        """Begin: the first run comes soon, the others at their interval."""
        every = interval(self._retention)
        self._scheduler.add_job(
            self.prune,
            IntervalTrigger(seconds=int(every), jitter=int(every * JITTER), timezone=UTC),
            next_run_time=datetime.now(UTC) + timedelta(seconds=random.uniform(*FIRST_SECONDS)),  # noqa: S311 - no secret
            # A run that could not begin in time, because the last one or this machine was slow, is made up for once.
            misfire_grace_time=None,
            coalesce=True,
            max_instances=1,
        )
        self._scheduler.start()

    def stop(self) -> None:
        """End what is under way between two of its steps, and return once it has ended."""
        self._stopping = True
        session = self._session
        if session is not None:
            # What cannot be cancelled, since the session is gone, has ended or will when its connection gives up.
            with contextlib.suppress(psycopg.Error):
                session.cancel_safe(timeout=CANCEL_SECONDS)
        self._scheduler.shutdown(wait=True)

    def prune(self) -> None:
        """Prune once, on a session that is opened for it."""
        if self._stopping:
            return
        try:
            with connect(renewed(self._settings).database_url, self._settings.name) as session:
                self._session = session
                done = prune(session, self._retention, stopping=lambda: self._stopping)
        except AlreadyPruning:
            return
        except (RelayError, psycopg.Error) as error:
            if not self._stopping:
                self._tell(events.ChoreFailed("pruning", first_line(error), UNPRUNED))
        else:
            self._report(done)
        finally:
            self._session = None

    def _report(self, done: Pruned) -> None:
        for emptied in done.of(Fate.EMPTIED):
            self._tell(events.SlotEmptied(emptied.slot, emptied.bytes))
        for busy in done.of(Fate.BUSY):
            if not self._stopping:
                self._tell(events.SlotBusy(busy.slot, busy.holders))
        if done.rotated:
            self._tell(events.Rotated(done.today))


@contextlib.contextmanager
def done_beside(settings: Settings, tell: events.Tell) -> Iterator[None]:
    """Do the chores while the context lasts."""
    chores = Chores(settings, tell)
    chores.start()
    try:
        yield
    finally:
        chores.stop()
