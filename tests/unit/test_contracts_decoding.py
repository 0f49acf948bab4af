"""What a consumer hears: the model that was told of, or one error that says what is wrong."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app_integration.contracts import (
    AuditEntry,
    Identifier,
    KafkaTopic,
    Message,
    Reason,
    Registry,
    UndecodableMessage,
    UserRegistered,
    decode,
)

HEADERS = [("ce_id", b"1"), ("ce_type", b"user_registered.v1")]
BODY = {"userId": "1", "email": "ada@example.com", "userType": "student"}


def fault(topic: str, headers: Any, value: Any, **options: Any) -> UndecodableMessage:
    with pytest.raises(UndecodableMessage) as raised:
        decode(topic, headers, value, **options)
    return raised.value


def test_a_message_becomes_its_model_whatever_client_gave_its_headers() -> None:
    expected = UserRegistered(user_id="1", email="ada@example.com", user_type="student")
    for headers in (HEADERS, {"ce_type": "user_registered.v1"}, {"ce_type": b"user_registered.v1"}):
        assert decode("business-events", headers, json.dumps(BODY).encode()) == expected


def test_a_field_of_a_newer_producer_is_ignored() -> None:
    assert decode("business-events", HEADERS, json.dumps({**BODY, "referrer": "x"})) == decode(
        "business-events", HEADERS, json.dumps(BODY)
    )


@pytest.mark.parametrize(
    "value",
    [
        None,
        b"",
        b"{",
        b"[]",
        b"null",
        b'"text"',
        b"\xff\xfe\x00",
        b'{"userId": NaN}',
        b'{"userId": -Infinity}',
        b"[" * 200_000,
        b'{"a":' * 100_000,
        b'{"n": ' + b"9" * 5_000 + b"}",
    ],
)
def test_what_is_no_json_object_is_malformed(value: bytes | None) -> None:
    assert fault("business-events", HEADERS, value).reason is Reason.MALFORMED


@pytest.mark.parametrize(
    ("headers", "reason"),
    [
        (None, Reason.UNKNOWN_TYPE),
        ([("ce_id", b"1")], Reason.UNKNOWN_TYPE),
        ([("ce_type", None)], Reason.UNKNOWN_TYPE),
        ([("ce_type", b"\xff")], Reason.UNKNOWN_TYPE),
        ([("ce_type", b"user_registered")], Reason.UNKNOWN_TYPE),
        ([("ce_type", b"user_registered.v0")], Reason.UNKNOWN_TYPE),
        ([("ce_type", b"course_burnt.v1")], Reason.UNKNOWN_TYPE),
        ([("ce_type", b"user_registered.v2")], Reason.FUTURE_VERSION),
        ([("ce_type", b"user_registered.v999999")], Reason.FUTURE_VERSION),
        ([("ce_type", b"user_registered.v" + b"9" * 5_000)], Reason.UNKNOWN_TYPE),
    ],
)
def test_a_type_is_known_unknown_or_from_the_future(headers: Any, reason: Reason) -> None:
    assert fault("business-events", headers, json.dumps(BODY)).reason is reason


def test_a_version_that_was_given_up_is_unknown_and_not_from_the_future() -> None:
    registry = Registry()

    @registry.business_event("course_rated", version=2)
    class Rated(Message):
        user_id: Identifier

    old = fault("business-events", {"ce_type": "course_rated.v1"}, b"{}", registry=registry)
    assert (old.reason, old.problem) == (
        Reason.UNKNOWN_TYPE,
        "course_rated.v1 is not registered; known of course_rated is v2",
    )


def test_a_message_on_a_topic_that_is_not_its_own_is_refused() -> None:
    assert "belongs on business-events, this is audit-logs" in str(fault("audit-logs", HEADERS, json.dumps(BODY)))


@pytest.mark.parametrize(
    "changed", [{"email": "nobody"}, {"userId": None}, {"userType": "a\r\nb"}, {"user_id": "1", "userId": ""}]
)
def test_a_field_that_is_not_what_it_should_be_is_named_and_not_repeated(changed: dict[str, Any]) -> None:
    wrong = fault("business-events", HEADERS, json.dumps({**BODY, **changed}))
    assert wrong.reason is Reason.INVALID
    assert "user_registered.v1: " in wrong.problem
    assert "nobody" not in wrong.problem


def test_what_a_stranger_wrote_is_checked_as_at_enqueueing() -> None:
    entry = {"action": "seen", "resource": "user", "details": {"x": "\0"}}
    assert fault("audit-logs", {"ce_type": "audit_entry.v1"}, json.dumps(entry)).reason is Reason.INVALID
    assert isinstance(
        decode("audit-logs", {"ce_type": "audit_entry.v1"}, json.dumps({**entry, "details": {}})), AuditEntry
    )


@given(st.binary(), st.sampled_from(["user_registered.v1", "email.v1", "x"]), st.sampled_from(list(KafkaTopic)))
def test_nonsense_is_one_kind_of_error(value: bytes, ce_type: str, topic: KafkaTopic) -> None:
    fault(topic, {"ce_type": ce_type}, value)
