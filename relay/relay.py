"""The loop: read what is due, publish it, checkpoint it; sleep when nothing is.

One cycle reads a page for all leased shards in one round trip, waits until what it read cannot be undone by a crash of
PostgreSQL, publishes, and moves on in memory; checkpoints are gathered, unless a message had to be set aside, which is
recorded with them at once. While Kafka acknowledges a page, the next one is being read. Everything here runs on one
thread but that reading ahead, which only ever reads, and the sending of held messages, which only ever sends.

When anything here raises, the caller drops the sessions and begins anew from the recorded positions: nothing that
matters lives in memory alone.
"""

import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from psycopg import errors

from relay import events
from relay.behind import Behind
from relay.flow import Flow, Rules
from relay.hold import Failure
from relay.holding.custody import Custody
from relay.holding.trouble import Setbacks
from relay.leasing.fleet import Fleet
from relay.leasing.lease import Change, Leases
from relay.leasing.pulse import Pulse
from relay.message import Batch, Page
from relay.publishing.delivery import Delivery
from relay.publishing.outcome import Delivered
from relay.reading.ahead import Ahead
from relay.reading.bell import Bell
from relay.reading.checkpoint import check_sequence
from relay.reading.reader import Reader
from relay.reading.rules import Rulebook
from relay.record import Record
from relay.restoring.durability import Durability

SURVEY_SECONDS = 0.5
"""Between two looks at the leases: a dead relay's shards are taken within two of these."""

STOP_SECONDS = 4.0
"""What a stopping relay grants Kafka to acknowledge the page under way; then it is left for the next relay."""


class StoppedInTheMiddle(Exception):
    """The relay was told to stop and Kafka did not acknowledge the page in time; it counts as not sent."""


@dataclass(slots=True)
class Relay:
    """One relay on its sessions, from joining the others to leaving them."""

    leases: Leases
    fleet: Fleet
    record: Record
    reader: Reader
    """On a session of its own, for it is read on another thread too, by `ahead`."""
    ahead: Ahead
    behind: Behind
    reader_behind: Reader
    """Reads, on the same session, topics that are behind their shards; what it learns is of them alone."""
    rulebook: Rulebook
    flow: Flow
    durability: Durability
    delivery: Delivery
    bell: Bell
    pulse: Pulse
    tell: events.Tell
    stopping: Callable[[], float | None]
    """Says for how many seconds the relay has been told to stop; None while it was not."""

    _rules: Rules = field(default_factory=Rules)
    """As read last; obeyed once nothing is under way that they stop."""
    _setbacks: Setbacks = field(default_factory=Setbacks)
    _surveyed: float = 0.0
    _paused: bool = False
    _locked_out: bool = False
    _change: Change = field(default_factory=Change)

    @property
    def custody(self) -> Custody:
        """The held messages of its shards."""
        return self.record.custody

    @property
    def published(self) -> int:
        """Messages that Kafka has acknowledged to this relay."""
        return self.record.published + self.custody.published

    def run(self, enough: Callable[[], bool] | None = None) -> None:
        """Work until told to stop, then record what was done and give up the leases.

        Args:
            enough: asked whenever nothing is due in the shards held, and their progress is recorded; the relay ends
                when it says so.

        Raises:
            LeaseLost, psycopg.Error: the sessions are of no use any more.
            PositionsForeign: going on could skip messages.
        """
        try:
            with contextlib.suppress(StoppedInTheMiddle):
                while self.stopping() is None:
                    self._tend_leases()
                    idle = self._cycle()
                    if idle and self._finished(enough):
                        break
        finally:
            self.ahead.close()
        self.record.end(self.leases.held, self.leases.give_up)
        self.tell(events.Stopped(self.published))

    def _finished(self, enough: Callable[[], bool] | None) -> bool:
        if enough is None or self._locked_out:
            return False
        if not self.custody.retries.nothing_due:
            self.custody.retries.look_soon(sweep=True)
            return False
        self.record.write()
        return enough()

    def _cycle(self) -> bool:
        """Do what is due; return whether nothing was."""
        self.delivery.serve()
        self._obey()
        self.custody.tend(self.leases.held)
        page = self._next_page()
        if page is not None:
            self._publish(page)
            self.record.renew_floor(page)
        followed = bool(self.behind.trails) and self._follow()
        self.record.note_ended_trails()
        self.record.write_when_due()
        idle = not self.ahead.under_way and not followed and (page is None or (page.exhausted and not page.count))
        if idle:
            self.bell.rest(self._until_next_duty())
        return idle

    def _obey(self) -> None:
        """Go by what operators say now, and show it once nothing is under way any more that was begun before."""
        if self._rules != self.flow.rules:
            for topic in sorted(self._rules.paused - self.flow.rules.paused):
                self.tell(events.TopicPaused(topic))
            for topic in sorted(self.flow.rules.paused - self._rules.paused):
                self.tell(events.TopicResumed(topic))
            self.flow.adopt(self._rules)
            self.custody.retries.look_soon(sweep=True)
        if not self.custody.retries.under_way:
            self.rulebook.obey(self.flow.rules)

    def _tend_leases(self) -> None:
        """Look at the leases when it is time, and make the change that is called for."""
        self._survey_when_due()
        change, self._change = self._change, Change()
        if change.give_up:
            self.record.end(change.give_up, self.leases.give_up)
        gained = self.leases.take(change.take) if change.take else frozenset()
        if gained:
            self.record.begin(gained)
        if gained or change.give_up:
            self.flow.hold_share(len(self.leases.held), self.leases.shards)
            self.bell.serve(self.leases.held)
            self.tell(events.LeasesChanged(gained, change.give_up, self.leases.held))

    def _survey_when_due(self) -> None:
        self.pulse.beat()
        now = time.monotonic()
        if now - self._surveyed >= SURVEY_SECONDS:
            self._surveyed = now
            self._change = self.leases.survey()
            self._rules = self.rulebook.read()
            self.custody.retries.renew(now)
            if self.leases.others:
                self.fleet.watch()
            self.bell.check()

    def _still_ours(self) -> None:
        """Raise when the leases may be lost, or when a relay told to stop has waited long enough."""
        self._survey_when_due()
        since = self.stopping()
        if since is not None and since > STOP_SECONDS:
            raise StoppedInTheMiddle

    def _worth_waiting(self) -> bool:
        """Whether to wait on for what may take for ever, rather than stop or look after the leases."""
        self._survey_when_due()
        return self.stopping() is None and self._change == Change()

    def _next_page(self) -> Page | None:
        """The page read ahead, as far as it is still true, or a new one; None when no shard is to be read."""
        if self.ahead.under_way:
            ahead = self._take_ahead()
            page = None if ahead is None else self.record.progress.still_true(ahead)
            if page is not None and page.before:
                return page
        if self.custody.full:
            # Rings are heard and not answered; when reading goes on, it begins with a look at all shards.
            self.bell.rung(())
            self._paused = True
            return None
        if self._paused:
            self._paused = False
            self.bell.look_again()
        rung = self.bell.rung(self.record.positions)
        positions = {shard: self.record.positions[shard] for shard in rung}
        if not positions:
            return None
        page = self._read(lambda: self.reader.read(positions, self.record.floor, rows=self._setbacks.rows))
        if page is not None:
            check_sequence(page.sequence, page.horizon.floor)
        return page

    def _read(self, read: Callable[[], Page]) -> Page | None:
        """Read, unless somebody keeps everybody from reading: the leases want to be looked after, and so do others.

        Whoever has the lock may be a relay that hangs, and then it is for this one to end it.
        """
        try:
            page = read()
        except errors.LockNotAvailable:
            self.bell.look_again()
            if not self._locked_out:
                self.tell(events.LockedOut())
            self._locked_out = True
            return None
        if self._locked_out:
            self.tell(events.LetInAgain())
        self._locked_out = False
        return page

    def _take_ahead(self) -> Page | None:
        return self._read(lambda: self.ahead.take(self._still_ours, SURVEY_SECONDS))

    def _publish(self, page: Page) -> None:
        """Publish a page and move behind what Kafka acknowledged of it."""
        if not page.count:
            self.record.settle(page, Delivered(), ())
            if not page.exhausted:
                self.bell.look_again()
            return
        if not self._durable(page):
            self.bell.look_again()
            return
        if not page.exhausted and self._setbacks.rows is None and not self.custody.full:
            self.ahead.begin(self.record.progress.standing_after(page), self.record.floor)
        going, passed = self.behind.part(page)
        delivered = self._deliver(going)
        self.record.note(self.behind.leave(page, passed, delivered))
        self.record.settle(page, delivered, passed)
        self.bell.busy(page.count, more=not page.exhausted)
        self._overcome_or_suffer(page, delivered)

    def _follow(self) -> bool:
        """Publish a page of a topic that is behind and may go on; return whether there was one."""
        turn = None if self.custody.full or self._locked_out else self.behind.next_turn(self.record.positions)
        if turn is None:
            return False
        page = self._read(lambda: self.reader_behind.of_topic(turn.topic, turn.positions, self.record.floor, turn.room))
        if page is None or not self._durable(page):
            return False
        self.flow.took(turn.topic, page.count)
        delivered = self._deliver(page.batch)
        self.record.settle_behind(turn.topic, page, delivered)
        self._overcome_or_suffer(page, delivered)
        return True

    def _durable(self, page: Page) -> bool:
        """Wait until no crash of PostgreSQL can undo what was read; False when there is no waiting for it."""
        return not page.unflushed or self.durability.wait(page.unflushed, self._worth_waiting)

    def _deliver(self, batch: Batch) -> Delivered:
        return self.delivery.deliver(batch, self.custody.waits, self._still_ours) if batch.count else Delivered()

    def _overcome_or_suffer(self, page: Page, delivered: Delivered) -> None:
        if delivered.broker is not None:
            self._suffer(page, delivered.broker)
        elif page.count:
            if self._setbacks.count:
                self.tell(events.BrokerBack(self._setbacks.count))
            self._setbacks.overcome()

    def _suffer(self, page: Page, failure: Failure) -> None:
        """Pause; what was not acknowledged is read again from the table."""
        if self.ahead.under_way:
            # What is left of a page read ahead of one that failed would pass for an empty outbox.
            self._take_ahead()
        self.bell.look_again()
        pause = self._setbacks.suffered(max(map(len, page.rows.values())))
        self.tell(events.BrokerSilent(failure, page.count, self._setbacks.count))
        time.sleep(pause)

    def _until_next_duty(self) -> float:
        """Seconds until the leases or a checkpoint want to be looked after."""
        duties = [self._surveyed + SURVEY_SECONDS - time.monotonic(), self.custody.retries.seconds_until_due()]
        if not self.custody.full:
            duties += self.behind.waits()
        record = self.record.seconds_until_due()
        duties += [] if record is None else [record]
        return max(0.0, min(duties))
