"""Whom a relay accuses of hanging, from what `pg_stat_activity` says."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.leasing.silence import Session, confirmed, hung, namesakes, silence

NOW = datetime(2026, 1, 1, tzinfo=UTC)
LIMIT = 25.0
ME, OTHER = 7, 50

states = st.sampled_from(["idle", "idle in transaction", "active", "fastpath function call", "disabled", None])


def session(
    pid: int,
    seconds: float | None,
    state: str | None = "idle",
    waits_for: str | None = "Client",
    *,
    relay: int = OTHER,
    loop: bool = True,
) -> Session:
    changed = None if seconds is None else NOW - timedelta(seconds=seconds)
    return Session(relay, loop, pid, "outbox-relay x", NOW, changed, state, waits_for, seconds)


def ended(*sessions: Session) -> list[int]:
    return [found.pid for one in hung(sessions, ME, LIMIT) for found in one.sessions]


def relay_with(lease: Session, reader: Session | None = None, doorbell: Session | None = None) -> list[Session]:
    others = [reader or session(51, 60), doorbell or session(52, 60, loop=False)]
    return [lease, *others]


@pytest.mark.parametrize("state", ["idle", "idle in transaction", "idle in transaction (aborted)"])
def test_all_sessions_of_a_relay_whose_loop_is_silent_are_ended(state: str) -> None:
    assert ended(*relay_with(session(OTHER, 26, state))) == [50, 51, 52]


def test_a_relay_that_does_not_take_its_result_is_silent() -> None:
    assert ended(*relay_with(session(OTHER, 26, "active", "Client"))) == [50, 51, 52]


@pytest.mark.parametrize("waits_for", [None, "IO", "Lock", "IPC", "LWLock"])
def test_a_stalled_commit_is_no_hang(waits_for: str | None) -> None:
    assert ended(*relay_with(session(OTHER, 3600, "active", waits_for))) == []


def test_a_stalled_read_is_no_hang() -> None:
    assert ended(*relay_with(session(OTHER, 3600), reader=session(51, 3600, "active", "IO"))) == []


def test_a_doorbell_that_waits_for_a_lock_proves_nothing_of_the_loop() -> None:
    doorbell = session(52, 3600, "active", "Lock", loop=False)
    assert ended(*relay_with(session(OTHER, 26), doorbell=doorbell)) == [50, 51, 52]


def test_a_relay_that_was_heard_of_lately_is_left_alone() -> None:
    assert ended(*relay_with(session(OTHER, 24.9))) == []
    assert ended(*relay_with(session(OTHER, 60), reader=session(51, 1))) == []


@pytest.mark.parametrize("state", [None, "disabled", "fastpath function call"])
def test_nothing_is_concluded_from_what_cannot_be_seen(state: str | None) -> None:
    assert ended(*relay_with(session(OTHER, None, state))) == []
    assert silence(relay_with(session(OTHER, None, state))) is None


def test_a_relay_never_accuses_itself() -> None:
    assert ended(session(ME, 3600, relay=ME)) == []


def test_a_healthy_relay_of_the_same_name_is_left_alone() -> None:
    healthy = [session(60, 0.2, relay=60), session(61, 90, relay=60)]
    assert ended(*relay_with(session(OTHER, 26)), *healthy) == [50, 51, 52]


def test_what_a_relay_has_left_without_its_lease_session_is_ended() -> None:
    assert ended(session(51, 26), session(52, 26, loop=False)) == [51, 52]
    assert ended(session(51, 1), session(52, 26, loop=False)) == [52]
    assert ended(session(52, 3600, "active", "Lock", loop=False)) == []


def test_a_session_that_belongs_to_no_lease_session_is_ended_by_its_own_silence() -> None:
    """Such as one that prunes: it is tied to itself."""
    assert ended(session(70, 26, relay=70, loop=False)) == [70]
    assert ended(session(70, 26, "idle in transaction", relay=70, loop=False)) == [70]
    assert ended(session(70, 3600, "active", "Lock", relay=70, loop=False)) == []
    mine = session(ME, 0, relay=ME)
    assert namesakes([mine, session(70, 1, relay=70, loop=False)], ME) == frozenset()


def test_only_the_second_look_that_finds_the_same_silence_acts() -> None:
    """When PostgreSQL itself stood still, every other relay looks silent to the first that goes on."""
    first = hung(relay_with(session(OTHER, 26)), ME, LIMIT)
    marks = {mark for one in first for mark in one.marks}
    assert confirmed(first, []) == []
    assert confirmed(first, marks) == first
    stirred = [replace(found, changed=NOW) for found in relay_with(session(OTHER, 26))]
    assert confirmed(hung(stirred, ME, LIMIT), marks) == []


def test_namesakes_are_told_by_their_lease_sessions() -> None:
    mine = session(ME, 0, relay=ME)
    assert namesakes([mine, *relay_with(session(OTHER, 1))], ME) == {OTHER}
    assert namesakes([mine, replace(session(OTHER, 1), name="outbox-relay y")], ME) == frozenset()
    assert namesakes([mine, replace(session(OTHER, 1), name=None)], ME) == frozenset()


@given(st.lists(st.tuples(st.integers(1, 9), st.booleans(), st.integers(1, 9), states, st.floats(0, 99))))
def test_no_working_relay_is_ever_accused(rows: list[tuple[int, bool, int, str | None, float]]) -> None:
    sessions = [session(pid, secs, state, relay=relay, loop=loop) for relay, loop, pid, state, secs in rows]
    for one in hung(sessions, ME, LIMIT):
        assert one.relay != ME
        assert one.seconds > LIMIT
        own = [found for found in sessions if found.relay == one.relay]
        if any(found.loop and found.pid == one.relay for found in own):
            assert all((found.silent or 0) > LIMIT for found in own if found.loop)
        else:
            assert all((found.silent or 0) > LIMIT for found in one.sessions)
