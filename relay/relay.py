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
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field

from psycopg import errors

from relay import events
from relay.flow import Flow, Rules
from relay.hold import Failure
from relay.holding.custody import Custody, settled_of
from relay.holding.trouble import Setbacks
from relay.leasing.fleet import Fleet
from relay.leasing.lease import Change, Leases
from relay.leasing.pulse import Pulse
from relay.message import Batch, Page, Position, Row
from relay.publishing.delivery import Delivery
from relay.publishing.outcome import Delivered
from relay.reading.bell import Bell
from relay.reading.checkpoint import Checkpoints, check_sequence
from relay.reading.progress import Progress, floor_is_old
from relay.reading.reader import Reader
from relay.reading.rules import Rulebook
from relay.restoring.durability import Durability

SURVEY_SECONDS = 0.5
"""Between two looks at the leases: a dead relay's shards are taken within two of these."""

STOP_SECONDS = 4.0
"""What a stopping relay grants Kafka to acknowledge the page under way; then it is left for the next relay."""


class StoppedInTheMiddle(Exception):
    """The relay was told to stop and Kafka did not acknowledge the page in time; it counts as not sent."""


@dataclass(frozen=True, slots=True)
class Pace:
    """When to checkpoint.

    Args:
        checkpoint_seconds: at least so long between two checkpoints,
        checkpoint_messages: unless so many messages were published.
    """

    checkpoint_seconds: float
    checkpoint_messages: int


@dataclass(slots=True)
class Relay:
    """One relay on its sessions, from joining the others to leaving them."""

    leases: Leases
    fleet: Fleet
    checkpoints: Checkpoints
    """On the session that holds the leases, so that both are lost together."""
    reader: Reader
    """On a session of its own, for it also reads on a thread of its own."""
    behind: Reader
    """Reads, on the same session, topics that are behind their shards."""
    rulebook: Rulebook
    flow: Flow
    durability: Durability
    delivery: Delivery
    custody: Custody
    bell: Bell
    pulse: Pulse
    pace: Pace
    tell: events.Tell
    stopping: Callable[[], float | None]
    """Says for how many seconds the relay has been told to stop; None while it was not."""

    _published: int = 0
    _rules: Rules = field(default_factory=Rules)
    """As read last; obeyed once nothing is under way that they stop."""
    _followed: str = ""
    """The topic that was followed last."""
    _progress: Progress = field(default_factory=Progress)
    _setbacks: Setbacks = field(default_factory=Setbacks)
    _surveyed: float = 0.0
    _paused: bool = False
    _locked_out: bool = False
    _change: Change = field(default_factory=Change)
    _thread: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1, "outbox-read-ahead"))
    _ahead: Future[Page] | None = None

    @property
    def published(self) -> int:
        """Messages that Kafka has acknowledged to this relay."""
        return self._published + self.custody.published

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
            self._thread.shutdown(cancel_futures=True)
        self._record()
        self.custody.give_up(self.leases.held)
        self.leases.give_up(self.leases.held)
        self.tell(events.Stopped(self.published))

    def _finished(self, enough: Callable[[], bool] | None) -> bool:
        if enough is None or self._locked_out:
            return False
        if not self.custody.retries.nothing_due:
            self.custody.retries.look_soon(sweep=True)
            return False
        self._record()
        return enough()

    def _cycle(self) -> bool:
        """Do what is due; return whether nothing was."""
        self._obey()
        self.custody.tend(self.leases.held)
        page = self._next_page()
        if page is not None:
            self._publish(page)
            self._renew_floor(page)
        followed = bool(self.checkpoints.trails) and self._follow_trails()
        while self.checkpoints.trails.ended:
            # Else the end of a trail would be recorded only with the next message of its shard.
            self._progress.unrecorded.setdefault(self.checkpoints.trails.ended.pop(), 0)
        self._record_when_due()
        idle = self._ahead is None and not followed and (page is None or (page.exhausted and not page.count))
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
            self._record()
            self.custody.give_up(change.give_up)
            self.leases.give_up(change.give_up)
            self.checkpoints.drop(change.give_up)
            self._progress.drop(change.give_up)
        gained = self.leases.take(change.take) if change.take else frozenset()
        if gained:
            self._begin(gained)
        if gained or change.give_up:
            self.flow.hold_share(len(self.leases.held), self.leases.shards)
            self.bell.serve(self.leases.held)
            self.tell(events.LeasesChanged(gained, change.give_up, self.leases.held))

    def _begin(self, shards: frozenset[int]) -> None:
        """Take up shards where their last checkpoint left them.

        They are recorded once more at once: that makes a floor of now, without which the first difference would be
        followed by a read through all the history above the old one, and any other relay that believes to own one
        of these shards is refused from here on.
        """
        positions = self.checkpoints.load(shards)
        self.checkpoints.append(positions, {})
        self.custody.take(shards)
        self._progress.add(positions)

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
        if self._ahead is not None:
            ahead = self._take_ahead(self._ahead)
            page = None if ahead is None else self._progress.still_true(ahead)
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
        rung = self.bell.rung(self._progress.positions)
        positions = {shard: self._progress.positions[shard] for shard in rung}
        if not positions:
            return None
        page = self._read(lambda: self.reader.read(positions, self.checkpoints.floor, rows=self._setbacks.rows))
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

    def _read_ahead(self, page: Page) -> None:
        """Begin to read what comes behind a page, before that page is published."""
        positions = self._progress.standing_after(page)
        self._ahead = self._thread.submit(self.reader.read, positions, self.checkpoints.floor)

    def _take_ahead(self, ahead: Future[Page]) -> Page | None:
        """Wait for the page read ahead; a long read must not pass for a relay that hangs."""
        while not ahead.done():
            self._still_ours()
            wait([ahead], SURVEY_SECONDS)
        self._ahead = None
        return self._read(ahead.result)

    def _publish(self, page: Page) -> None:
        """Publish a page and move behind what Kafka acknowledged of it."""
        if not page.count:
            self._progress.settle(page, {}, {})
            if not page.exhausted:
                self.bell.look_again()
            return
        if page.unflushed and not self.durability.wait(page.unflushed, self._worth_waiting):
            self.bell.look_again()
            return
        if not page.exhausted and self._setbacks.rows is None and not self.custody.full:
            self._read_ahead(page)
        going, passed = self._pass_over(page)
        delivered = self.delivery.deliver(going, self.custody.waits, self._still_ours) if going.count else Delivered()
        self._leave_behind(page, passed, delivered)
        self._settle(page, delivered, passed)
        self.bell.busy(page.count, more=not page.exhausted)
        self._overcome_or_suffer(page, delivered)

    def _pass_over(self, page: Page) -> tuple[Batch, list[Row]]:
        """Part what may go of a page from what is paused, over its rate, or of a topic that is behind already."""
        trails = self.checkpoints.trails
        if not trails and not self.flow.governs:
            return page.batch, []
        parts = {shard: self.flow.part(rows, trails.of.get(shard, ())) for shard, rows in page.rows.items()}
        passed = [row for _, left in parts.values() for row in left]
        return (Batch.of({shard: going for shard, (going, _) in parts.items()}), passed) if passed else (page.batch, [])

    def _leave_behind(self, page: Page, passed: Sequence[Row], delivered: Delivered) -> None:
        """Let topics have a trail of their own where messages were passed over."""
        first: dict[tuple[int, str], int] = {}
        for row in passed:
            if not self.checkpoints.trails.has(row[0], row[3]):
                first.setdefault((row[0], row[3]), row[1])
        for shard in self.checkpoints.trails.begin(page, first, delivered.stuck):
            self._progress.unrecorded.setdefault(shard, 0)

    def _follow_trails(self) -> bool:
        """Publish a page of a topic that is behind and may go on, of each in its turn; return whether there was one."""
        if self.custody.full or self._locked_out:
            return False
        topics = sorted(self.checkpoints.trails.topics)
        turns = [topic for topic in topics if topic > self._followed] + topics
        for topic in turns[: len(topics)]:
            room = self.flow.worth_a_read(topic)
            if room == 0:
                continue
            positions = self.checkpoints.trails.follow(topic, self._progress.positions)
            if positions:
                self._followed = topic
                return self._follow(topic, positions, room)
        return False

    def _follow(self, topic: str, positions: dict[int, Position], room: int | None) -> bool:
        floor = self.checkpoints.floor
        page = self._read(lambda: self.behind.of_topic(topic, positions, floor, room))
        if page is None or (page.unflushed and not self.durability.wait(page.unflushed, self._worth_waiting)):
            return False
        delivered = Delivered()
        if page.count:
            self.flow.took(topic, page.count)
            delivered = self.delivery.deliver(page.batch, self.custody.waits, self._still_ours)
        self.checkpoints.trails.move(topic, page, delivered.stuck, self._progress.positions)
        published = Counter(row[0] for rows in delivered.published for row in rows if not _beyond(row, delivered))
        for shard in page.after:
            self._progress.unrecorded[shard] = self._progress.unrecorded.get(shard, 0) + published[shard]
        self._settled(page, delivered)
        self._overcome_or_suffer(page, delivered)
        return True

    def _overcome_or_suffer(self, page: Page, delivered: Delivered) -> None:
        if delivered.broker is not None:
            self._suffer(page, delivered.broker)
        elif page.count:
            if self._setbacks.count:
                self.tell(events.BrokerBack(self._setbacks.count))
            self._setbacks.overcome()

    def _suffer(self, page: Page, failure: Failure) -> None:
        """Pause; what was not acknowledged is read again from the table."""
        if self._ahead is not None:
            # What is left of a page read ahead of one that failed would pass for an empty outbox.
            self._take_ahead(self._ahead)
        self.bell.look_again()
        pause = self._setbacks.suffered(max(map(len, page.rows.values())))
        self.tell(events.BrokerSilent(failure, page.count, self._setbacks.count))
        time.sleep(pause)

    def _settle(self, page: Page, delivered: Delivered, passed: Sequence[Row] = ()) -> None:
        """Move behind what was published, has to wait or was passed over."""
        unpublished = settled_of(delivered) + Counter(row[0] for row in passed if not _beyond(row, delivered))
        self._progress.settle(page, delivered.stuck, unpublished)
        self._settled(page, delivered)

    def _settled(self, page: Page, delivered: Delivered) -> None:
        """Tell what was published; what has to wait is recorded before anything else happens."""
        if delivered.count:
            self._published += delivered.count
            self.tell(events.Published(delivered.published))
        if holds := delivered.settled():
            moved = {shard: self._progress.positions[shard] for shard in page.rows}
            self._append(
                {**moved, **{shard: self._progress.positions[shard] for shard in self._progress.unrecorded}},
                dict(self._progress.unrecorded),
                lambda: self.custody.write(holds),
            )
            self.custody.note(holds)
        if again := delivered.unsettled():
            self.custody.forget(again)

    def _record_when_due(self) -> None:
        pace = self.pace
        wait = self._progress.wait(time.monotonic(), pace.checkpoint_seconds, pace.checkpoint_messages)
        if wait is not None and wait <= 0:
            self._record()

    def _record(self) -> None:
        """Append a checkpoint of every shard that has moved by a message."""
        sent = self._progress.unrecorded
        if sent:
            self._append({shard: self._progress.positions[shard] for shard in sent}, dict(sent))

    def _renew_floor(self, page: Page) -> None:
        """Append a checkpoint though nothing was sent, when every read would wade through what nobody can see yet."""
        waited = time.monotonic() - self._progress.since >= self.pace.checkpoint_seconds
        if waited and floor_is_old(page.sequence, self.checkpoints.floor):
            self._append(self._progress.positions, dict(self._progress.unrecorded))

    def _append(
        self, positions: dict[int, Position], sent: dict[int, int], also: Callable[[], None] | None = None
    ) -> None:
        self.checkpoints.append(positions, sent, also)
        self._progress.recorded(time.monotonic())
        self.tell(events.Checkpointed(len(positions), sum(sent.values())))

    def _until_next_duty(self) -> float:
        """Seconds until the leases or a checkpoint want to be looked after."""
        now, pace = time.monotonic(), self.pace
        duties = [self._surveyed + SURVEY_SECONDS - now]
        duties += [self.custody.retries.seconds_until_due()]
        if not self.custody.full:
            # Not at once: a topic may have to wait for its shard.
            duties += [max(0.005, self.flow.seconds_until(topic)) for topic in self.checkpoints.trails.topics]
        wait = self._progress.wait(now, pace.checkpoint_seconds, pace.checkpoint_messages)
        duties += [wait] if wait is not None else []
        return max(0.0, min(duties))


def _beyond(row: Row, delivered: Delivered) -> bool:
    """Whether a message stands behind a stuck one of its shard, and is read once more."""
    return row[1] >= delivered.stuck.get(row[0], row[1] + 1)
