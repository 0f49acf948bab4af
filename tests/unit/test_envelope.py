"""What travels beside a message."""

import json

from relay.message import Row
from relay.publishing.envelope import envelope


def row(
    *, type_: str | None = "user_registered", content_type: str | None = "application/json", own: str | None = None
) -> Row:
    created_at = '"2026-01-02T03:04:05.678901+00:00"'
    return (1, 2, "0190-id", "users", "7", type_, b"{}", content_type, own, created_at, False, 0)


def test_a_message_is_described_by_cloudevents_headers() -> None:
    assert dict(envelope("cloudevents", "/shop")(row())) == {
        "ce_specversion": b"1.0",
        "ce_id": "0190-id",
        "ce_type": b"user_registered",
        "ce_source": b"/shop",
        "ce_time": "2026-01-02T03:04:05.678901+00:00",
        "content-type": b"application/json",
    }


def test_a_message_without_a_type_is_a_thing_of_its_topic() -> None:
    assert dict(envelope("cloudevents", "/shop")(row(type_=None)))["ce_type"] == b"users"


def test_a_tombstone_has_no_media_type() -> None:
    assert "content-type" not in dict(envelope("cloudevents", "/shop")(row(content_type=None)))


def test_the_callers_own_headers_come_last_in_both_forms() -> None:
    own = json.dumps({"traceparent": "00-ab-cd-01"})
    assert envelope("cloudevents", "/shop")(row(own=own))[-1] == ("traceparent", "00-ab-cd-01")
    assert envelope("id", "/shop")(row(own=own)) == [("ce_id", "0190-id"), ("traceparent", "00-ab-cd-01")]


def test_headers_of_one_message_do_not_leak_into_the_next() -> None:
    headers_of = envelope("cloudevents", "/shop")
    headers_of(row(own='{"a": "b"}'))
    assert "a" not in dict(headers_of(row()))
