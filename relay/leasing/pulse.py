"""Whether the loop comes round: it beats, and a thread listens. When it falls silent, that and where it stands is told.

A loop can stand in a lock, in a call of a library, or in writing to a log that nobody reads. Other relays notice, for
its sessions are silent then too, and take its shards. What is left is a process that does nothing and that nobody
misses: after a while it ends itself, so that its supervisor starts another. Not so while it waits for PostgreSQL:
another process would wait for the same, and this one goes on by itself.

Guarantees: the thread depends on nothing that the loop could hold, not even on a log that takes lines.
"""

import os
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from relay import events

LOOK_SECONDS = 0.5

LONGEST_UNTOLD = 10.0
"""Seconds without a beat until it is told, or half the takeover time, if that is shorter: before others act on it."""

FOLDER = str(Path(__file__).parents[1])

ON_DATABASE = ("psycopg", "relay.reading.ahead", "relay.reading.doorbell")
"""Whose frames say that PostgreSQL is waited for: the driver's, and of those that wait for a thread which does."""

SAYING_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Limits:
    """How many seconds the loop may be silent until it is told, and until the process ends."""

    told: float
    ended: float

    @classmethod
    def within(cls, takeover: float) -> "Limits":
        """Derive them from the time after which others take the shards: by twice that nobody waits for this process."""
        return cls(min(LONGEST_UNTOLD, takeover / 2), takeover * 2)


class Pulse:
    """Listens for the beats of the loop of the thread that makes it.

    Args:
        limits: what is granted.
        tell: hears when the loop is stuck and when it goes on, on a thread of its own.
        alive: called twice a second while the loop comes round, and not while it is stuck: a watchdog's food.
    """

    def __init__(self, limits: Limits, tell: events.Tell, alive: Callable[[], None] = lambda: None) -> None:
        self._alive = alive
        self._limits = limits
        self._tell = tell
        self._loop = threading.get_ident()
        self._closed = threading.Event()
        self._beat = self._looked = time.monotonic()
        self._stuck_since: float | None = None
        self._on_database = False

    @property
    def silent_seconds(self) -> float:
        """For how long the loop has not come round."""
        return time.monotonic() - self._beat

    @property
    def stuck(self) -> bool:
        """Whether the loop has been silent for too long."""
        return self.silent_seconds > self._limits.told

    @property
    def hopeless(self) -> bool:
        """Whether only a new process would help: the loop is stuck, and not in waiting for PostgreSQL."""
        return self.stuck and self._stuck_since is not None and not self._on_database

    def beat(self) -> None:
        """Take note that the loop has come round, or waits for something and is about to go on."""
        self._beat = time.monotonic()

    @contextmanager
    def listening(self) -> "Iterator[None]":
        """Listen while the block lasts."""
        self.beat()
        self._looked = self._beat
        thread = threading.Thread(target=self._listen, name="outbox-pulse", daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._closed.set()
            thread.join(SAYING_SECONDS)

    def _listen(self) -> None:
        while not self._closed.wait(LOOK_SECONDS):
            self._look()

    def _look(self) -> None:
        beat, now = self._beat, time.monotonic()
        slept, self._looked = now - self._looked, now
        if self._stuck_since is not None and beat > self._stuck_since:
            self._say(events.LoopGoesOn(now - self._stuck_since))
            self._stuck_since = None
        if slept > self._limits.told:
            # This thread did not run either, so the silence of the loop says nothing. It is given time to go on.
            self._say(events.StoodStill(slept))
            self._beat = max(self._beat, now)
            self._stuck_since = None
        elif now - beat > self._limits.told:
            self._stuck(beat, now - beat)
        else:
            self._alive()

    def _stuck(self, since: float, seconds: float) -> None:
        frames = sys._current_frames()  # noqa: SLF001 - the only way to see where another thread stands
        frame = frames.get(self._loop)
        place, on_database = place_of(frame), waits_for_database(frame)
        self._on_database = on_database
        if self._stuck_since is None:
            self._stuck_since = since
            self._say(events.LoopStuck(seconds, place, on_database))
        if seconds > self._limits.ended and not on_database:
            self._say(events.LoopGivenUp(seconds, place))
            os._exit(1)

    def _say(self, event: events.Event) -> None:
        """Tell, but wait for it no longer than a moment: what the loop is stuck in may be the telling."""
        voice = threading.Thread(target=self._tell, args=(event,), daemon=True)
        voice.start()
        voice.join(SAYING_SECONDS)


def _calls(frame: FrameType | None) -> Iterable[traceback.FrameSummary]:
    return traceback.StackSummary.extract(traceback.walk_stack(frame), lookup_lines=False)


def place_of(frame: FrameType | None) -> str:
    """Say where a thread stands: the innermost call of the relay itself, and the innermost of all."""
    calls = list(_calls(frame)) if frame else []
    own = next((call for call in calls if call.filename.startswith(FOLDER)), None)
    if own is None:
        return "code that is not the relay's"
    where = f"{own.name} (relay/{Path(own.filename).name}:{own.lineno})"
    return where if calls[0] is own else f"{where}, in {calls[0].name} of {Path(calls[0].filename).name}"


def waits_for_database(frame: FrameType | None) -> bool:
    """Whether a thread waits for PostgreSQL: the innermost call of the relay or of the driver says so.

    What other threads wait for proves nothing: one that stands in a queue for a lock may do so for hours.
    """
    modules = (str(at.f_globals.get("__name__", "")) for at, _ in traceback.walk_stack(frame)) if frame else ()
    innermost = next((name for name in modules if name.partition(".")[0] in ("psycopg", "relay")), "")
    return any(innermost == each or innermost.startswith(f"{each}.") for each in ON_DATABASE)
