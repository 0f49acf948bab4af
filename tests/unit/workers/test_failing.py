"""What becomes of a message that failed, by what its handler raised and how often; and who it is."""

from datetime import UTC, datetime

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st
from psycopg import errors

from app_integration.workers import Backoff, Outage, Received, Reject, Retry, Worker
from app_integration.workers.verdict import LONGEST, judge, outage_of, say

CHANCES = st.floats(0, 1)


@given(st.floats(0.01, 100), st.floats(1, 1000), st.integers(1, 50), st.integers(1, 60), CHANCES)
def test_pauses_double_up_to_the_longest_and_end_with_the_attempts(
    first: float, factor: float, attempts: int, tried: int, chance: float
) -> None:
    backoff = Backoff(first, first * factor, attempts)
    pause = backoff.pause(tried, chance)
    if tried >= attempts:
        assert pause is None
    else:
        even = min(first * factor, first * 2 ** (tried - 1))
        assert pause is not None
        assert even * 0.8 <= pause <= even * 1.2


def test_a_schedule_that_makes_no_sense_is_refused() -> None:
    for values in ((0, 1, 1), (2, 1, 1), (1, 2, 0)):
        with pytest.raises(ValueError, match="must hold"):
            Backoff(*values)


def test_a_rejected_message_is_dead_at_once_and_any_other_failure_is_retried_to_the_end() -> None:
    backoff = Backoff(1, 10, 3)
    assert judge(Reject("never"), 0, backoff, 0.5).seconds is None
    for error in (Retry("later"), KeyError("x")):
        assert [judge(error, attempts, backoff, 0.5).seconds for attempts in range(3)] == [1, 2, None]
    assert [judge(Retry("later"), attempts, backoff, 0.5).attempts for attempts in range(3)] == [1, 2, 3]


@pytest.mark.parametrize(
    "error",
    [
        Outage("away"),
        psycopg.OperationalError("the connection is lost"),
        errors.DeadlockDetected(),
        errors.SerializationFailure(),
        errors.LockNotAvailable(),
        errors.AdminShutdown(),
        errors.DiskFull(),
        errors.InsufficientPrivilege(),
        errors.UndefinedTable(),
        errors.ReadOnlySqlTransaction(),
    ],
)
def test_what_all_messages_would_meet_is_an_outage(error: Exception) -> None:
    assert isinstance(outage_of(error), Outage)


@pytest.mark.parametrize(
    "error",
    [
        Reject("x"),
        Retry("x"),
        ValueError("x"),
        errors.UniqueViolation(),
        errors.DataError(),
        errors.QueryCanceled(),
        errors.IdleInTransactionSessionTimeout(),
    ],
)
def test_what_is_the_messages_own_is_none(error: Exception) -> None:
    assert outage_of(error) is None


@given(st.text())
def test_an_error_is_told_in_one_printable_line_that_is_not_endless(text: str) -> None:
    for error in (Reject(text), ValueError(text), Retry(text * 100)):
        told = say(error)
        assert told.isprintable()
        assert len(told) <= LONGEST
        told.encode()


HEADER = st.one_of(
    st.none(), st.binary(max_size=20), st.text(max_size=20).map(lambda text: text.encode(errors="replace"))
)


@given(HEADER, HEADER, HEADER, HEADER)
def test_every_message_has_an_identity_a_time_and_a_replay_whatever_its_headers_are(
    id_: bytes | None, time: bytes | None, replay: bytes | None, force: bytes | None
) -> None:
    headers = [("ce_id", id_), ("ce_time", time), ("ce_replay", replay), ("ce_force", force)]
    message = Received("t", 3, 7, None, None, headers, 86_400_000)
    assert message.id
    assert message.id.isprintable()
    assert message.time.tzinfo is UTC
    assert 0 <= message.replay < 2**63


def test_the_headers_of_the_relay_are_understood() -> None:
    headers = [("ce_id", b"a"), ("ce_time", b"2026-01-31T23:30:00.5-01:00"), ("ce_type", b"x.v1"), ("ce_id", b"b")]
    message = Received("t", 0, 0, None, None, headers, 5)
    assert (message.id, message.type, message.time) == ("b", "x.v1", datetime(2026, 2, 1, 0, 30, 0, 500_000, UTC))


def test_force_counts_only_beside_a_replay_of_the_relay() -> None:
    def replay(**headers: str) -> int:
        pairs = [(name, text.encode()) for name, text in headers.items()]
        return Received("t", 0, 0, None, None, pairs).replay

    assert replay(ce_force="true", ce_replay="12") == 12
    assert [replay(ce_force="true"), replay(ce_replay="12"), replay(ce_force="1", ce_replay="12")] == [0, 0, 0]
    assert replay(ce_force="true", ce_replay="9" * 30) == 0


def test_a_worker_that_cannot_be_is_refused_when_it_is_written() -> None:
    def handle(*_: object) -> None: ...

    for name, topics, batch in (("Bad Name", ("t",), 1), ("good", (), 1), ("good", "topic", 1), ("good", ("t",), 0)):
        with pytest.raises(ValueError, match=r"allowed|must be"):
            Worker(name, topics, handle, batch=batch)  # type: ignore[arg-type]
    for effects in ({}, {"handle": handle, "handle_many": handle}):
        with pytest.raises(ValueError, match="either handle or handle_many must be given"):
            Worker("good", ("t",), **effects)  # type: ignore[arg-type]
