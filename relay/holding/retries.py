"""Sends held messages when their turn has come, on a thread of its own: no failure of theirs delays anybody else.

One batch at a time, and by turns: those that have failed before, each alone; those whose time has come; those that only
waited, in order. So however much there is of one kind, the others get on. What became of a batch is told to the loop,
which records it: nothing here writes to the database.
"""

import time
from collections.abc import Callable, Collection
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from functools import partial

from relay.errors import WorkFailed
from relay.flow import GATHER_SECONDS, Flow
from relay.holding.held import Due, Held, Look
from relay.publishing.delivery import Delivery
from relay.publishing.outcome import Delivered
from relay.publishing.permit import Permit
from relay.publishing.producer import StillOurs
from relay.waits import Waits

LOOK_SECONDS = 1.0
"""At most so long until what an operator replays is noticed, and what another relay found out about a topic."""

SWEEP_SECONDS = 5.0
"""At most so long until messages are noticed that wait behind nobody any more, because an operator discarded whom they
waited for; all that wait are looked at for that. Where the relay itself has settled one, it looks at once."""


SWEEP_SHARE, CHEAP_SECONDS = 20, 0.1
"""Looking in vain at all that wait takes at most one part in so many of the loop's time, for many thousands may wait;
unless it takes no longer than so many seconds."""


class Stuck(WorkFailed):
    """What is tried again does not come back."""


@dataclass(frozen=True, slots=True)
class Retried:
    """What became of held messages that were sent again."""

    due: Due
    delivered: Delivered


class Retries:
    """Watches over the held messages of the shards that a relay leases.

    Args:
        held: the table.
        make_delivery: makes what they are sent with, when it is needed for the first time.
        flow: which topics may go, and how fast.
        behind: whether a message of a shard and topic, by its number, may stand behind older ones that are not sent.
        clock: seconds that only go forward.
    """

    def __init__(
        self,
        held: Held,
        make_delivery: Callable[[], Delivery],
        flow: Flow,
        behind: Callable[[int, str, int], bool] = lambda *_: False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._held = held
        self._make_delivery = make_delivery
        self._delivery: Delivery | None = None
        self._flow = flow
        self._behind = behind
        self._clock = clock
        self._thread = ThreadPoolExecutor(1, "outbox-retries")
        self._under_way: Future[Delivered] | None = None
        self._due = Due()
        self._sure = clock()
        self._permit = Permit(1, self._sure)
        self._next_look = self._next_sweep = self._next_costly_sweep = 0.0
        self._turn = 0
        self._slowed = False
        """Whether a rate kept something back at the last looks."""
        self.nothing_due = False
        """Whether nothing was due when all was looked at, and nothing was set aside or settled since."""

    def close(self) -> None:
        """Call off what is under way, so that nothing goes out once the leases are given up."""
        self.call_off()
        self._thread.shutdown()
        if self._delivery is not None:
            self._delivery.close()

    @property
    def under_way(self) -> bool:
        """Whether a batch is being sent."""
        return self._under_way is not None

    def look_soon(self, *, sweep: bool = False, seconds: float = 0.0) -> None:
        """Look at once, or in so many seconds: messages were set aside, or some were settled that others waited for."""
        self._next_look = self._clock() + seconds
        self.nothing_due = False
        if sweep:
            self._next_sweep = 0.0

    def seconds_until_due(self) -> float:
        """Until `tend` has something to do."""
        if self._under_way is not None:
            # Nothing wakes the loop when the batch is done; it is seldom there, and short.
            return 0.01
        return max(0.0, self._next_look - self._clock())

    def finished(self) -> Retried | None:
        """What was sent, once it is known.

        Raises:
            Whatever went wrong on the thread.
            Stuck: it hangs. Closing will wait for it, and the pulse ends the process in the end.
        """
        if self._under_way is None:
            return None
        if not self._under_way.done():
            if self._permit.stuck([0]):
                raise Stuck("what is tried again is stuck in a call of the Kafka client")
            return None
        done, self._under_way = self._under_way, None
        return Retried(self._due, done.result())

    def look(self, shards: Collection[int]) -> Look | None:
        """Look, when it is time, and begin to send what is due; return what the look found.

        Raises:
            psycopg.Error: the session is lost.
        """
        now = self._clock()
        if self._under_way is not None or now < self._next_look:
            return None
        if self._delivery is not None:
            self._delivery.serve()
        self._held.stopped = self._flow.stopped(self._flow.limited)
        found = self._held.look(shards)
        # On the lease session: it answers, so the shards are ours.
        self.renew(now)
        self._slowed = self._slowed and bool(self._held.stopped)
        self._begin(self._choose(shards, timed=found.seconds is not None and found.seconds <= 0))
        wanted = LOOK_SECONDS if found.seconds is None or found.seconds <= 0 else min(LOOK_SECONDS, found.seconds)
        self._next_look = self._clock() + (min(wanted, GATHER_SECONDS) if self._slowed else wanted)
        return found

    def _choose(self, shards: Collection[int], *, timed: bool) -> Due:
        """Read what to send next; whoever had its turn last is asked last."""
        kinds = (self._held.failed, self._held.scheduled) if timed else (_none, _none)
        reads: list[Callable[[Collection[int]], Due]] = [*kinds, self._sweep]
        for turn in range(self._turn, self._turn + len(reads)):
            due = self._admitted(reads[turn % len(reads)](shards))
            if due.rows:
                self._turn = (turn + 1) % len(reads)
                return due
        return Due()

    def _admitted(self, due: Due) -> Due:
        """Keep what may go now: as much as its topic's rate allows, and nothing before what it was written behind."""
        if not due.rows:
            return due
        passing = {row[1] for row in due.rows if row[1] not in due.replays and self._behind(row[0], row[3], row[1])}
        rows = [row for row in due.rows if row[1] not in passing] if passing and not due.failed else due.rows
        admitted = self._flow.part(rows)[0] if self._flow.limited else rows
        self._slowed = self._slowed or len(admitted) < len(rows)
        return replace(due, rows=admitted)

    def _sweep(self, shards: Collection[int]) -> Due:
        began = self._clock()
        if began < max(self._next_sweep, self._next_costly_sweep):
            return Due()
        due = self._held.waiting(shards)
        now = self._clock()
        self._next_sweep = 0.0 if due.rows else now + SWEEP_SECONDS
        costly = not due.rows and now - began > CHEAP_SECONDS
        self._next_costly_sweep = now + SWEEP_SHARE * (now - began) if costly else 0.0
        # What a rate holds back is due all the same, and goes in a moment.
        self.nothing_due = not self._slowed and set(self._held.stopped) <= self._flow.rules.paused
        return due

    def _begin(self, due: Due) -> None:
        if not due.rows:
            return
        self.nothing_due = False
        if self._delivery is None:
            self._delivery = self._make_delivery()
        self._due, self._permit = due, Permit(1, self._sure)
        self._under_way = self._thread.submit(self._deliver, self._delivery, due, partial(self._permit.ask, 0))

    @staticmethod
    def _deliver(delivery: Delivery, due: Due, still_ours: StillOurs) -> Delivered:
        if due.failed:
            return delivery.retry(due.rows, due.failed, still_ours)
        return delivery.deliver(due.batch(), Waits(), still_ours)

    def renew(self, since: float) -> None:
        """Give the loop's word that the shards are still ours; what is under way goes on no longer without it.

        Args:
            since: when the loop began to make sure, by the monotonic clock.
        """
        self._sure = since
        self._permit.renew(since)

    def patiently(self, seconds: float) -> None:
        """Wait for what is under way, but not for long; what is not answered for by then is called off."""
        if self._under_way is not None:
            wait([self._under_way], seconds)
            if not self._under_way.done():
                self.call_off()

    def call_off(self) -> None:
        """Take back what is under way; it counts as not sent."""
        self._permit.call_off()
        if self._under_way is not None:
            wait([self._under_way])
            self._under_way = None


def _none(_: Collection[int]) -> Due:
    """Nothing of this kind is due."""
    return Due()
