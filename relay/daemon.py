"""One relay as a process: what it does beside relaying, how it begins anew after faults, and when it ends.

Guarantees: a fault of the database or the network ends in a fresh start from the recorded positions, never in going on
with what was in memory; a mistake of the user ends a relay that has not worked yet, with its explanation; SIGTERM ends
it cleanly.
"""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

import psycopg

from relay import events
from relay.composition import compose
from relay.configuration.loading import renewed
from relay.configuration.settings import Settings
from relay.connection import connect, first_line
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
from relay.leasing.pulse import Limits, Pulse
from relay.printable import counted
from relay.publishing.broker import reachable
from relay.retention import chores
from relay.stopping import Stop, stopped_by_signals
from relay.supervisor import Supervisor
from relay.telemetry import logs
from relay.telemetry.secrets import secrets_of
from relay.tracing.gate import tracing
from relay.watching import status, watch

if TYPE_CHECKING:
    from relay.tracing.spans import Spans

RETRY_SECONDS = (0.2, 0.5, 1.0, 2.0)
"""Pauses before a fresh start; the last one repeats. A relay that worked in between begins with the first again."""


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
            # The loop goes on: what it waited for may have lasted so long that the pause would pass for standing still.
            pulse.beat()
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
        relay = compose(settings, stop, pulse, tell, cleanup, spans=spans)

        def empty() -> bool:
            """Ask the table itself: shards that others hold are waited for; what is held and not due is not."""
            return relay.custody.full or status.read(settings.database_url).pending == 0

        relay.run(empty if until_empty else None)
        if until_empty and stop() is not None:
            raise WorkFailed(
                f"told to stop after {counted(relay.published, 'message')}; what is left stays in the outbox"
            )
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
        raise WorkFailed(
            f"published {counted(published, 'message')}, and some are held: {counts}; see them with: relay failed"
        )
    if found.paused:
        raise WorkFailed(
            f"published {counted(published, 'message')}, and {found.paused} of paused topics wait; see: relay log, "
            "relay resume"
        )


def _reason(error: BaseException) -> str:
    if isinstance(error, LeaseLost):
        return f"a lease was lost: {error}"
    if isinstance(error, RelayError):
        return str(error)
    if isinstance(error, psycopg.OperationalError | psycopg.InterfaceError):
        return f"the database closed or refused a session: {first_line(error)}"
    return f"the database refused a statement: {first_line(error)}"
