"""A relay ends the sessions of another that hangs, on a real server, and nobody else's."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest
from psycopg import sql

from relay import events, locks
from relay.connection import connect
from relay.leasing.fleet import Fleet, sessions, tie
from relay.leasing.lease import Change, Leases
from relay.leasing.silence import by_relay, silence
from relay.reading.doorbell import Doorbell
from relay.retention.prune import _turn
from tests.faults.world import wait_until

LIMIT = 0.3
ROLE = "relay_of_its_own"

Connection = psycopg.Connection[tuple[object, ...]]


class Member:
    """The sessions of a relay, without its loop: silent unless a test makes them speak."""

    def __init__(self, database_url: str, name: str) -> None:
        self.lease, self.reader, self.doorbell = (connect(database_url, name) for _ in range(3))
        self.pid = self.lease.info.backend_pid
        tie(self.lease, self.pid, locks.LOOP)
        tie(self.reader, self.pid, locks.LOOP)
        tie(self.doorbell, self.pid, locks.BESIDE)
        self.leases = Leases(self.lease)

    def speak(self) -> None:
        self.lease.execute("select")

    def alive(self) -> list[bool]:
        return [_alive(session) for session in (self.lease, self.reader, self.doorbell)]

    def close(self) -> None:
        for session in (self.lease, self.reader, self.doorbell):
            session.close()


def _alive(session: Connection) -> bool:
    try:
        session.execute("select")
    except psycopg.OperationalError:
        return False
    return True


@pytest.fixture
def member(database: str) -> Iterator[Callable[[str], Member]]:
    members: list[Member] = []

    def make(name: str, url: str = database) -> Member:
        members.append(Member(url, name))
        return members[-1]

    yield make
    for made in members:
        made.close()


class Watcher:
    """A relay that works, and watches."""

    def __init__(self, database_url: str) -> None:
        self.member = Member(database_url, "watcher")
        self.told: list[events.Event] = []
        self.fleet = Fleet(self.member.lease, "watcher", LIMIT, self.told.append)

    def until_told(self, kind: type[events.Event]) -> events.Event:
        def told() -> bool:
            self.fleet.watch()
            return any(isinstance(event, kind) for event in self.told)

        wait_until(told, 20)
        return next(event for event in self.told if isinstance(event, kind))

    def watch_past(self, silent: Member) -> None:
        """Watch until some sessions have been silent for well over the limit, and looked at more than twice since."""

        def long_silent() -> bool:
            self.fleet.watch()
            own = [session for session in sessions(self.member.lease) if session.relay == silent.pid]
            return min(session.seconds or 0 for session in own) > 4 * LIMIT

        wait_until(long_silent, 20)
        self.fleet.watch()
        self.fleet.watch()


@pytest.fixture
def watcher(database: str) -> Iterator[Watcher]:
    made = Watcher(database)
    yield made
    made.member.close()


def test_a_hung_relay_loses_all_its_sessions_and_its_shards_are_free(
    member: Callable[[str], Member], watcher: Watcher
) -> None:
    hangs = member("hangs")
    hangs.leases.take(range(16))
    event = watcher.until_told(events.HungRelayEnded)
    assert isinstance(event, events.HungRelayEnded)
    assert (event.name, event.sessions, event.leases) == ("hangs", 3, True)
    assert event.silent_seconds > LIMIT
    assert hangs.alive() == [False, False, False]
    wait_until(lambda: watcher.member.leases.survey() == Change(take=frozenset(range(16))), 10)
    assert not watcher.member.leases.others


def test_a_relay_that_speaks_is_left_alone_and_so_is_a_namesake_of_one_that_hangs(
    member: Callable[[str], Member], watcher: Watcher
) -> None:
    hangs, works = member("twin"), member("twin")

    def ended() -> bool:
        works.speak()
        watcher.fleet.watch()
        return bool(watcher.told)

    wait_until(ended, 20)
    assert works.alive() == [True, True, True]
    assert hangs.alive() == [False, False, False]
    assert len(watcher.told) == 1


def test_a_relay_that_waits_for_a_slow_statement_is_left_alone(
    member: Callable[[str], Member], watcher: Watcher
) -> None:
    """It waits for a lock; its other sessions are as silent as those of one that hangs."""
    busy = member("busy")
    with psycopg.connect(busy.lease.info.dsn) as blocker, ThreadPoolExecutor(1) as thread:
        blocker.execute("lock table outbox.checkpoint")
        stalled = thread.submit(lambda: busy.lease.execute("select count(*) from outbox.checkpoint").fetchone())
        waiting = "select 1 from pg_stat_activity where pid = %s and state = 'active' and wait_event_type = 'Lock'"
        wait_until(lambda: watcher.member.reader.execute(waiting, [busy.pid]).fetchone() is not None, 10)
        watcher.watch_past(busy)
        blocker.rollback()
        assert stalled.result() == (16,)
    assert watcher.told == []
    assert busy.alive() == [True, True, True]


def test_a_relay_that_stopped_in_the_middle_of_a_result_hangs(
    member: Callable[[str], Member], watcher: Watcher
) -> None:
    hangs = member("hangs")
    hangs.reader.pgconn.send_query(b"select repeat('x', 1000000) from generate_series(1, 100)")
    watcher.until_told(events.HungRelayEnded)
    assert hangs.alive()[0] is False


def test_one_look_alone_ends_nobody(member: Callable[[str], Member], watcher: Watcher) -> None:
    hangs = member("hangs")
    own = [hangs.pid]
    wait_until(lambda: any((silence(by_relay(sessions(watcher.member.lease))[pid]) or 0) > LIMIT for pid in own), 20)
    watcher.fleet.watch()
    assert hangs.alive() == [True, True, True]
    watcher.fleet.watch()
    assert watcher.told == []


def test_a_doorbell_that_outlived_its_lease_session_is_ended(member: Callable[[str], Member], watcher: Watcher) -> None:
    left = member("left")
    bell = Doorbell(left.doorbell)
    bell.silence(range(16))

    def silenced() -> int:
        held = "select objid from pg_locks where locktype = 'advisory' and classid::bigint = %s"
        return len(watcher.member.reader.execute(held, [locks.DOORBELL]).fetchall())

    wait_until(lambda: silenced() == 16, 10)
    left.lease.close()
    left.reader.close()
    event = watcher.until_told(events.HungRelayEnded)
    assert isinstance(event, events.HungRelayEnded)
    assert (event.sessions, event.leases) == (1, False)
    wait_until(lambda: silenced() == 0, 10)
    bell.close()


def test_a_session_that_hangs_with_a_slot_locked_is_ended(database: str, watcher: Watcher) -> None:
    """As that of a relay is that was stopped while it pruned: nobody could read the table until it goes on."""
    with connect(database, "watcher") as pruning, _turn(pruning):
        pruning.execute("begin")
        pruning.execute("lock table outbox.message_3 in access exclusive mode")
        event = watcher.until_told(events.HungRelayEnded)
        assert isinstance(event, events.HungRelayEnded)
        assert (event.sessions, event.leases) == (1, False)
        watcher.member.reader.execute("set lock_timeout = '10s'")
        assert watcher.member.reader.execute("select count(*) from outbox.message").fetchone() == (0,)
        assert not _alive(pruning)


def test_a_session_that_prunes_is_no_namesake(database: str, watcher: Watcher, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("relay.leasing.fleet.NAMESAKE_SECONDS", 0.0)
    with connect(database, "watcher") as pruning, _turn(pruning):
        for _ in range(3):
            pruning.execute("select")
            watcher.fleet.watch()
    assert watcher.told == []


def test_a_doorbell_that_is_armed_again_keeps_its_tie(member: Callable[[str], Member], watcher: Watcher) -> None:
    rings = member("rings")
    bell = Doorbell(rings.doorbell)
    bell.silence(range(16))
    bell.rearm()
    assert len(by_relay(sessions(watcher.member.lease))[rings.pid]) == 3


@pytest.fixture
def another_role(database: str) -> Iterator[str]:
    """The URL for a role that sees what others do, but may not end their sessions."""
    with psycopg.connect(database, autocommit=True) as owner:
        owner.execute(f"create role {ROLE} login in role pg_read_all_stats, outbox_relay".encode())
        yield database.replace("postgres@", f"{ROLE}@")
        owner.execute(sql.SQL("drop owned by {}").format(sql.Identifier(ROLE)))
        owner.execute(sql.SQL("drop role {}").format(sql.Identifier(ROLE)))


def test_a_hung_relay_of_another_role_is_told_once_and_its_sessions_are_left(
    member: Callable[[str], Member], another_role: str
) -> None:
    hangs = member("hangs")
    watcher = Watcher(another_role)
    event = watcher.until_told(events.HungBeyondReach)
    assert isinstance(event, events.HungBeyondReach)
    assert event.name == "hangs"
    watcher.watch_past(hangs)
    assert len(watcher.told) == 1
    assert hangs.alive() == [True, True, True]
    watcher.member.close()


def test_a_relay_of_the_same_name_is_told_when_it_stays(
    member: Callable[[str], Member], watcher: Watcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    twin = member("watcher")

    def told() -> bool:
        twin.speak()
        watcher.fleet.watch()
        return bool(watcher.told)

    watcher.fleet.watch()
    assert watcher.told == []
    monkeypatch.setattr("relay.leasing.fleet.NAMESAKE_SECONDS", 0.0)
    wait_until(told, 10)
    told()
    assert watcher.told == [events.NamesakeFound("watcher")]
