"""The composition root: makes sessions, producers and loop, starts and stops them in order, begins anew after faults.

Guarantees: a fault of the database or the network ends in a fresh start from the recorded positions, never in going on
with what was in memory; a mistake of the user ends a relay that has not worked yet, with its explanation; SIGTERM ends
it cleanly.
"""

import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from types import FrameType
from typing import TYPE_CHECKING

import psycopg

from relay import events, locks, rights
from relay.connection import connect, first_line, where, which_server
from relay.errors import (
    BrokerUnreachable,
    DatabaseUnreachable,
    LeaseLost,
    PositionsForeign,
    RelayError,
    SettingsError,
    UserMistake,
    WorkFailed,
)
from relay.flow import Flow
from relay.holding.custody import Custody
from relay.holding.held import Held
from relay.holding.retries import Retries
from relay.leasing.fleet import Fleet, tie
from relay.leasing.lease import Leases
from relay.leasing.pulse import Limits, Pulse
from relay.policy import Policy, Rule
from relay.publishing.alone import Alone
from relay.publishing.broker import reachable
from relay.publishing.delivery import Delivery
from relay.publishing.envelope import envelope
from relay.publishing.lane import Lane
from relay.publishing.publisher import Publisher
from relay.publishing.routing import Routes
from relay.reading.bell import Bell
from relay.reading.checkpoint import Checkpoints
from relay.reading.doorbell import Doorbell
from relay.reading.reader import Reader
from relay.reading.rules import Rulebook
from relay.relay import Pace, Relay
from relay.restoring.durability import Durability
from relay.retention import chores
from relay.settings import Settings, renewed
from relay.supervisor import Supervisor
from relay.telemetry import logs
from relay.telemetry.secrets import secrets_of
from relay.tracing.gate import tracing
from relay.watching import status, watch

if TYPE_CHECKING:
    from relay.tracing.spans import Spans

LAST_RESORT_SECONDS = 9
"""How long after being told to stop the process ends in any case: a server that hangs must not hold it."""

RETRY_SECONDS = (0.2, 0.5, 1.0, 2.0)
"""Pauses before a fresh start; the last one repeats. A relay that worked in between begins with the first again."""


RETRY_ROWS = 500
"""Held messages of each shard that are read at once."""


class Stop:
    """Whether and since when the relay should stop; wakes whoever waits."""

    def __init__(self) -> None:
        self._at: float | None = None
        self.woken, self._wake = socket.socketpair()
        # A thread, for a signal's handler would wait until the main thread comes back from a call of C.
        self._last_resort = threading.Timer(LAST_RESORT_SECONDS, _end_in_any_case)
        self._last_resort.daemon = True

    def __call__(self) -> float | None:
        """Seconds since the relay was told to stop; None while it was not."""
        return None if self._at is None else time.monotonic() - self._at

    def now(self, _signal: int = 0, _frame: FrameType | None = None) -> None:
        """Tell the relay to stop: a signal handler, and for callers in the same process."""
        if self._at is None:
            self._at = time.monotonic()
            self._wake.send(b".")
            self._last_resort.start()

    def wait(self, seconds: float) -> bool:
        """Wait, but no longer than until told to stop; return whether it was."""
        self.woken.settimeout(seconds)
        try:
            return bool(self.woken.recv(1, socket.MSG_PEEK))
        except TimeoutError:
            return False

    def close(self) -> None:
        """Close the sockets; the process ends by itself."""
        self._last_resort.cancel()
        self.woken.close()
        self._wake.close()


@contextmanager
def stopped_by_signals() -> Iterator[Stop]:
    """Turn SIGTERM and SIGINT into a stop while the context lasts.

    SIGHUP too: of a terminal that is gone, or of a supervisor that wants new settings and starts the relay anew.
    """
    stop = Stop()
    before = {number: signal.signal(number, stop.now) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        stop.close()


def _end_in_any_case() -> None:
    """End the process where it stands, for a statement that is never answered holds every orderly way out.

    Its sessions end with it, and so do its leases; what it published and did not record is published once more.
    """
    logs.tell(events.EndedWithoutAnswer(LAST_RESORT_SECONDS))
    os._exit(1)


def run(settings: Settings, *, wait: float = 0.0, tell: events.Tell = logs.tell) -> None:
    """Relay until SIGTERM, SIGINT or SIGHUP.

    Args:
        settings: what to do.
        wait: for how many seconds at the start an unreachable database or broker is waited for.
        tell: hears what happens.

    Raises:
        UserMistake: the set-up is wrong; the relay could never work.
        WorkFailed: within `wait` seconds of the start the database or the broker did not answer.
    """
    supervisor = Supervisor(os.environ)
    with (
        stopped_by_signals() as stop,
        tracing(settings) as spans,
        watch.watching(settings, supervisor.overhearing(_with(spans, tell)), stop) as watched,
    ):
        _until_reachable(settings, wait, stop, watched.tell)
        # Begun before the relaying and ended after it, so that a chore never outlives what it is done beside.
        with (
            chores.done_beside(settings, watched.tell, watched.chores),
            _listening(settings, watched.tell, supervisor.alive) as watched.pulse,
        ):
            _relay_until_stopped(settings, stop, watched.pulse, watched.tell, spans)


def _relay_until_stopped(
    settings: Settings, stop: Stop, pulse: Pulse, tell: events.Tell, spans: "Spans | None"
) -> None:
    """Relay, and begin anew after each fault.

    What makes a start a mistake, such as a schema, a right or a password that is missing, is an outage to a relay that
    has worked: somebody changes the set-up under it, and may be about to mend that. Until then it says what is wrong.
    """
    failures, worked = 0, False

    def note(event: events.Event) -> None:
        nonlocal worked
        worked = worked or isinstance(event, events.LeasesChanged)

    while stop() is None:
        began = time.monotonic()
        pulse.beat()
        try:
            _work(_with_todays_secrets(settings), stop, pulse, events.all_hear(note, tell), spans)
        except (RelayError, psycopg.Error) as error:
            # Positions of another cluster are final: a person must say what they mean before anything is published.
            if isinstance(error, UserMistake) and (not worked or isinstance(error, PositionsForeign)):
                raise
            failures = 0 if time.monotonic() - began > RETRY_SECONDS[-1] else failures
            pause = RETRY_SECONDS[min(failures, len(RETRY_SECONDS) - 1)]
            failures += 1
            tell(events.Interrupted(_reason(error), pause))
            stop.wait(pause)


def _with_todays_secrets(settings: Settings) -> Settings:
    """Read secrets anew; a file that is just being replaced is no reason to end."""
    try:
        found = renewed(settings)
    except SettingsError as error:
        raise WorkFailed(str(error)) from None
    logs.hide(secrets_of(found))
    return found


def drain(
    settings: Settings,
    *,
    wait: float = 0.0,
    progress: Callable[[int], None] = lambda _: None,
    tell: events.Tell = logs.tell,
) -> int:
    """Relay until nothing is due, then end.

    Args:
        settings: what to do.
        wait: for how many seconds at the start an unreachable database or broker is waited for.
        progress: is told the number of messages of each page that was published.
        tell: hears what happens.

    Returns:
        How many messages were published.

    Raises:
        WorkFailed: a session was lost on the way, the relay was told to stop before it was done, or messages are held
            that Kafka refuses.
    """

    def count(event: events.Event) -> None:
        if isinstance(event, events.Published):
            progress(event.messages)

    all_hear = events.all_hear(count, tell)
    with stopped_by_signals() as stop, tracing(settings) as spans:
        _until_reachable(settings, wait, stop, tell)
        try:
            with _listening(settings, tell) as pulse:
                return _work(settings, stop, pulse, _with(spans, all_hear), spans, until_empty=True)
        except psycopg.Error as error:
            raise DatabaseUnreachable(_reason(error)) from error


def _until_reachable(settings: Settings, wait: float, stop: Stop, tell: events.Tell) -> None:
    """Return once both ends answer, or when told to stop; for `wait` seconds their silence is waited out."""
    deadline = time.monotonic() + wait
    while True:
        try:
            connect(settings.database_url, settings.name).close()
            reachable(settings)
        except (DatabaseUnreachable, BrokerUnreachable) as error:
            if stop() is not None:
                return
            left = deadline - time.monotonic()
            if left <= 0:
                raise
            tell(events.NotThereYet(str(error), left))
            stop.wait(min(2.0, left))
        else:
            return


@contextmanager
def _listening(settings: Settings, tell: events.Tell, alive: Callable[[], None] = lambda: None) -> "Iterator[Pulse]":
    pulse = Pulse(Limits.within(settings.takeover_seconds), tell, alive)
    with pulse.listening():
        yield pulse


def _with(spans: "Spans | None", tell: events.Tell) -> events.Tell:
    """Let the spans hear of everything too, where there are any."""
    return tell if spans is None else events.all_hear(spans.hear, tell)


def _work(
    settings: Settings,
    stop: Stop,
    pulse: Pulse,
    tell: events.Tell,
    spans: "Spans | None",
    *,
    until_empty: bool = False,
) -> int:
    """Make everything, relay until told to stop, and take it down again; return how many messages were published."""
    with ExitStack() as cleanup:
        relay = _compose(settings, stop, pulse, tell, cleanup, spans=spans)

        def empty() -> bool:
            """Ask the table itself: shards that others hold are waited for; what is held and not due is not."""
            return relay.custody.full or status.read(settings.database_url).pending == 0

        relay.run(empty if until_empty else None)
        if until_empty and stop() is not None:
            raise WorkFailed(f"told to stop after {relay.published} messages; what is left stays in the outbox")
        if until_empty:
            _demand_nothing_left(settings, relay.published)
        return relay.published


def _demand_nothing_left(settings: Settings, published: int) -> None:
    """Go on only when no message is left that Kafka refused; those whose time has not come are no failure."""
    found = status.read(settings.database_url)
    held = found.held
    left = {state: count for state, count in held.items() if state != "scheduled"}
    if left:
        counts = ", ".join(f"{count} {state}" for state, count in sorted(left.items()))
        raise WorkFailed(f"published {published} messages, and some are held: {counts}; see them with: relay failed")
    if found.paused:
        raise WorkFailed(
            f"published {published} messages, and {found.paused} of paused topics wait; see: relay log, relay resume"
        )


def _compose(
    settings: Settings, stop: Stop, pulse: Pulse, tell: events.Tell, cleanup: ExitStack, *, spans: "Spans | None"
) -> Relay:
    """Wire a relay together. What is closed first is what could still send; the leases go last."""

    def session() -> "psycopg.Connection":
        return cleanup.enter_context(_closing(connect(settings.database_url, settings.name)))

    lease_session = session()
    rights.claim_revision(lease_session)
    rights.demand(lease_session)
    server = which_server(lease_session)
    me = lease_session.info.backend_pid
    tie(lease_session, me, locks.LOOP)

    def session_beside(kind: int) -> "psycopg.Connection":
        """Open a session on the same server: positions of one mean nothing on another that the address also has."""
        beside = session()
        if which_server(beside) != server:
            raise DatabaseUnreachable("the address of DATABASE_URL leads to several servers, or has just moved")
        tie(beside, me, kind)
        return beside

    replicated = settings.durability == "replicated"
    durability = Durability(lease_session, replicated=replicated, tell=tell)
    reading = session_beside(locks.LOOP)
    pages = partial(Reader, reading, rows=settings.page_rows, size=settings.page_bytes, replicated=replicated)
    doorbell = Doorbell(session_beside(locks.BESIDE)) if settings.doorbell else None
    if doorbell:
        cleanup.callback(doorbell.close)
    properties = {**settings.kafka, "bootstrap.servers": settings.kafka_brokers}
    routes, headers = Routes(settings), envelope(settings.headers, settings.source)
    how = properties, spans.around(headers, routes) if spans else headers, routes, settings.takeover_seconds
    rules = policy(settings)
    publisher = Publisher((Lane(*how), Lane(*how)))
    delivery = Delivery(publisher, Alone(*how), rules)
    cleanup.callback(delivery.close)
    held = Held(lease_session, rows=RETRY_ROWS, size=settings.page_bytes)
    flow = Flow({logical: topic.rate for logical, topic in settings.topics.items() if topic.rate is not None})
    checkpoints = Checkpoints(lease_session)
    retries = Retries(held, lambda: Delivery(Lane(*how), Alone(*how), rules), flow, checkpoints.trails.passes)
    cleanup.callback(retries.close)
    leases = Leases(lease_session)
    tell(events.Started(settings.name, where(settings.database_url), leases.shards, lambda: publisher.queued))
    return Relay(
        leases=leases,
        fleet=Fleet(lease_session, settings.name, settings.takeover_seconds, tell),
        checkpoints=checkpoints,
        reader=pages(),
        behind=pages(),
        rulebook=Rulebook(lease_session),
        flow=flow,
        durability=durability,
        delivery=delivery,
        custody=Custody(held, retries, settings.held_limit, tell),
        bell=Bell(lease_session, doorbell, settings.poll_interval_seconds, stop.woken),
        pulse=pulse,
        pace=Pace(settings.checkpoint_interval_seconds, settings.checkpoint_messages),
        tell=tell,
        stopping=stop,
    )


def policy(settings: Settings) -> Policy:
    """Gather what the settings say about failures."""
    topics = {
        logical: Rule(topic.on_failure or settings.on_failure, topic.max_attempts or settings.max_attempts)
        for logical, topic in settings.topics.items()
    }
    return Policy(
        Rule(settings.on_failure, settings.max_attempts),
        topics,
        settings.retry_first_seconds,
        settings.retry_longest_seconds,
    )


@contextmanager
def _closing(connection: "psycopg.Connection") -> "Iterator[psycopg.Connection]":
    try:
        yield connection
    finally:
        connection.close()


def _reason(error: BaseException) -> str:
    if isinstance(error, LeaseLost):
        return f"a lease was lost: {error}"
    if isinstance(error, RelayError):
        return str(error)
    if isinstance(error, psycopg.OperationalError | psycopg.InterfaceError):
        return f"the database closed or refused a session: {first_line(error)}"
    return f"the database refused a statement: {first_line(error)}"
