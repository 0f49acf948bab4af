"""A loop that is stuck is told, with where it stands; one that waits for PostgreSQL is never given up."""

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import psycopg
import pytest

from relay import events
from relay.connection import connect
from relay.leasing.pulse import Limits, Pulse, place_of, waits_for_database
from relay.reading.ahead import Ahead
from relay.reading.checkpoint import Checkpoints
from relay.reading.doorbell import Doorbell
from relay.reading.reader import Reader
from tests.faults.world import wait_until


class Heard:
    """What was told, and by which threads."""

    def __init__(self) -> None:
        self.events: list[events.Event] = []

    def __call__(self, event: events.Event) -> None:
        self.events.append(event)

    def of(self, kind: type[events.Event]) -> list[events.Event]:
        return [event for event in self.events if isinstance(event, kind)]


@contextmanager
def standing(target: Callable[[], object]) -> Iterator[int]:
    """A thread that stands in a call, which the block ends."""
    thread = threading.Thread(target=target, daemon=True)
    thread.start()
    assert thread.ident is not None
    yield thread.ident
    thread.join(20)
    assert not thread.is_alive()


def test_a_loop_that_is_silent_is_told_once_and_again_when_it_goes_on() -> None:
    heard = Heard()
    pulse = Pulse(Limits(told=1.2, ended=3600), heard)
    with pulse.listening():
        wait_until(lambda: bool(heard.of(events.LoopStuck)), 20)
        pulse.beat()
        wait_until(lambda: bool(heard.of(events.LoopGoesOn)), 20)
        stuck, goes_on = heard.events[:2]
    assert isinstance(stuck, events.LoopStuck)
    assert isinstance(goes_on, events.LoopGoesOn)
    assert stuck.seconds > 1.2
    assert goes_on.seconds >= stuck.seconds
    assert not stuck.on_database


def test_a_loop_that_beats_is_not_told() -> None:
    heard = Heard()
    pulse = Pulse(Limits(told=2, ended=3600), heard)
    began = threading.Event()
    with pulse.listening():
        for _ in range(30):
            pulse.beat()
            began.wait(0.1)
    assert heard.of(events.LoopStuck) == []


def test_a_log_that_takes_no_lines_does_not_hold_the_listening() -> None:
    """What the loop is stuck in may be the telling itself."""
    told: list[events.Event] = []
    blocked = threading.Event()

    def tell(event: events.Event) -> None:
        told.append(event)
        blocked.wait(60)

    pulse = Pulse(Limits(told=1, ended=3600), tell)
    with pulse.listening():
        wait_until(lambda: len(told) == 1, 20)
        pulse.beat()
        wait_until(lambda: len(told) == 2, 20)
    blocked.set()


def test_the_place_is_the_innermost_call_of_the_relay_itself() -> None:
    pulse = Pulse(Limits(1, 1), lambda _: None)
    with standing(pulse._listen) as ident:
        wait_until(lambda: place_of(sys._current_frames()[ident]).endswith("in wait of threading.py"), 10)
        assert place_of(sys._current_frames()[ident]).startswith("_listen (relay/pulse.py:")
        pulse._closed.set()
    assert place_of(None) == "code that is not the relay's"


def test_waiting_for_postgresql_is_told_from_any_other_wait(empty_database: str) -> None:
    with (
        psycopg.connect(empty_database, autocommit=True) as connection,
        psycopg.connect(empty_database, autocommit=True) as other,
    ):

        def ask() -> None:
            with suppress(psycopg.errors.QueryCanceled):
                connection.execute("select pg_sleep(3600)")

        def sleeps() -> bool:
            asked = "select from pg_stat_activity where pid = %s and wait_event = 'PgSleep'"
            return other.execute(asked, (connection.info.backend_pid,)).rowcount == 1

        with standing(ask) as ident:
            # A request to cancel cancels nothing where it comes before the statement.
            wait_until(sleeps, 20)
            wait_until(lambda: waits_for_database(sys._current_frames()[ident]), 10)
            connection.cancel_safe()
    blocked = threading.Event()
    with standing(blocked.wait) as ident:
        assert not waits_for_database(sys._current_frames()[ident])
        blocked.set()


def test_loop_is_not_taken_to_wait_for_postgresql_because_the_doorbell_does(database: str) -> None:
    """A transaction that rang and is left open keeps the doorbell's thread in a queue, for as long as it likes."""
    heard = Heard()
    with psycopg.connect(database) as application:
        application.execute("insert into outbox.message (topic, key) values ('t', 'k')")
        doorbell = Doorbell(connect(database, "bell"))
        doorbell.silence(range(16))
        with Pulse(Limits(told=1, ended=3600), heard).listening():
            wait_until(lambda: bool(heard.of(events.LoopStuck)), 20)
        (stuck,) = heard.of(events.LoopStuck)
        assert isinstance(stuck, events.LoopStuck)
        assert not stuck.on_database
        doorbell.close()


def test_loop_that_waits_for_a_thread_that_waits_for_postgresql_waits_for_it_too(database: str) -> None:
    with psycopg.connect(database) as writer, connect(database, "loop") as loop:
        checkpoints = Checkpoints(loop)
        positions = checkpoints.load(range(16))
        reader = Reader(connect(database, "ahead"), rows=10, size=1_000)
        ahead = Ahead(reader)
        writer.execute("lock table outbox.message")
        ahead.begin(positions, checkpoints.floor)

        def take() -> None:
            with suppress(psycopg.Error):
                ahead.take(lambda: None, 0.1)

        with standing(take) as ident:
            wait_until(lambda: waits_for_database(sys._current_frames()[ident]), 10)
            writer.rollback()
        ahead.close()
        reader.close()


@pytest.mark.parametrize("takeover", [5, 25, 300])
def test_a_stuck_loop_is_told_before_others_act_and_given_up_after(takeover: float) -> None:
    limits = Limits.within(takeover)
    assert limits.told < takeover < limits.ended
