"""What is refused before a row is written, and by which name."""

import time
from datetime import UTC, date, datetime, timedelta, timezone, tzinfo
from typing import Any
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app_integration import InvalidMessage, MessageTooLarge, NewMessage, Outbox, Topic, UnknownTopic
from app_integration.message import ENVELOPE_BYTES, prepare, uuid7
from app_integration.statement import BYTES_PER_STATEMENT, ROWS_PER_STATEMENT, batches
from app_integration.topics import Topics

ANY_TOPIC = Topics({}, strict=False)


def refusal(topics: Topics = ANY_TOPIC, **fields: Any) -> InvalidMessage:
    with pytest.raises(InvalidMessage) as caught:
        prepare(NewMessage(**({"topic": "orders", "payload": {}} | fields)), topics)
    return caught.value


@pytest.mark.parametrize("name", ["", ".", "..", "a b", "a/b", "é", "a" * 250, "a\n", None, 7, b"orders"])
def test_a_name_that_kafka_does_not_take_is_refused(name: Any) -> None:
    error = refusal(topic=name)
    assert error.field == "topic"
    assert repr(name) in error.problem


@given(st.from_regex(r"[a-zA-Z0-9._-]{1,249}", fullmatch=True).filter(lambda name: name not in {".", ".."}))
def test_a_name_that_kafka_takes_is_taken(name: str) -> None:
    assert prepare(NewMessage(topic=name, payload=None), ANY_TOPIC).topic == name


@pytest.mark.parametrize("field", ["key", "type", "content_type"])
@pytest.mark.parametrize("value", [7, b"k", UUID(int=1), "a\0b", "\ud800"])
def test_what_is_not_storable_text_is_refused_by_its_field(field: str, value: Any) -> None:
    error = refusal(**{field: value})
    assert error.field == field
    assert repr(value) in error.problem
    str(error).encode()


@pytest.mark.parametrize(
    ("headers", "field"),
    [
        (["a"], "headers"),
        ({1: "a"}, "headers"),
        ({"": "a"}, "headers"),
        ({None: "a"}, "headers"),
        ({"n": 1}, "headers.n"),
        ({"n": None}, "headers.n"),
        ({"n": b"x"}, "headers.n"),
        ({"n": "a\0"}, "headers.n"),
        ({"ce_id": "1"}, "headers.ce_id"),
        ({"ce_replay": "1"}, "headers.ce_replay"),
        ({"Content-Type": "text/plain"}, "headers.Content-Type"),
    ],
)
def test_a_header_that_is_not_text_to_text_or_is_the_relays_own_is_refused(headers: Any, field: str) -> None:
    assert refusal(headers=headers).field == field


def test_an_id_that_is_not_a_uuid_is_refused() -> None:
    error = refusal(id=str(uuid4()))
    assert error.field == "id"
    assert "uuid.UUID" in error.problem


@pytest.mark.parametrize("value", ["2026-01-31T03:00Z", 1_769_828_400, timedelta(hours=1), date(2026, 1, 31)])
def test_a_time_of_delivery_that_is_no_datetime_is_refused(value: Any) -> None:
    error = refusal(deliver_after=value)
    assert error.field == "deliver_after"
    assert "datetime.datetime" in error.problem


class Nowhere(tzinfo):
    """A time zone that does not say how far it is from UTC, which makes a time naive."""

    def utcoffset(self, _: datetime | None) -> timedelta | None:
        return None

    def dst(self, _: datetime | None) -> timedelta | None:
        return None

    def tzname(self, _: datetime | None) -> str | None:
        return None


@pytest.mark.parametrize("zone", [None, Nowhere()])
def test_a_naive_time_of_delivery_is_refused(zone: tzinfo | None) -> None:
    error = refusal(deliver_after=datetime(2026, 1, 31, 3, tzinfo=zone))
    assert error.field == "deliver_after"
    assert "without a time zone" in error.problem


@pytest.mark.parametrize(
    "value",
    [
        datetime.now(UTC) + timedelta(days=3654),
        datetime.max.replace(tzinfo=UTC),
        datetime.max.replace(tzinfo=timezone(timedelta(hours=-14))),
        datetime.min.replace(tzinfo=timezone(timedelta(hours=14))),
    ],
)
def test_a_time_of_delivery_that_is_no_time_or_a_century_ahead_is_refused(value: datetime) -> None:
    assert refusal(deliver_after=value).field == "deliver_after"


@pytest.mark.parametrize(
    "value", [None, datetime.min.replace(tzinfo=UTC), datetime.now(UTC), datetime.now(UTC) + timedelta(days=3652)]
)
def test_a_time_of_delivery_in_the_past_or_within_ten_years_is_taken(value: datetime | None) -> None:
    row = prepare(NewMessage(topic="orders", payload=None, deliver_after=value), ANY_TOPIC)
    assert row.deliver_after == value


def test_the_media_type_follows_the_payload_unless_given() -> None:
    def media(**fields: Any) -> str | None:
        return prepare(NewMessage(topic="t", **fields), ANY_TOPIC).content_type

    assert media(payload={}) == "application/json"
    assert media(payload=b"") == "application/octet-stream"
    assert media(payload=None) is None
    assert media(payload=b"", content_type="application/avro") == "application/avro"


def test_only_known_topics_may_be_used_when_strict_and_the_nearest_is_named() -> None:
    topics = Topics({"payments": Topic()}, strict=True)
    assert prepare(NewMessage(topic="payments", payload=None), topics).topic == "payments"
    assert "did you mean 'payments'?" in refusal(topics, topic="payment").problem
    assert "known are: payments" in refusal(topics, topic="x").problem
    assert isinstance(refusal(topics, topic="x"), UnknownTopic)
    assert "known are: none" in refusal(Topics({}, strict=True), topic="x").problem


def test_a_message_up_to_the_topics_limit_is_taken_and_a_byte_more_is_refused() -> None:
    topics = Topics({"small": Topic(max_message_bytes=1_000 + ENVELOPE_BYTES)}, strict=False)
    room = 1_000 - len("small") - len("application/octet-stream") - len("key")
    fits = NewMessage(topic="small", key="key", payload=b"x" * room)
    assert prepare(fits, topics).payload == fits.payload
    error = refusal(topics, topic="small", key="key", payload=b"x" * (room + 1))
    assert isinstance(error, MessageTooLarge)
    assert error.field == "payload"
    assert str(1_000 + ENVELOPE_BYTES) in error.problem
    assert "max.message.bytes" in error.problem


def test_kafkas_own_limit_holds_where_none_is_configured() -> None:
    assert refusal(payload=b"x" * 1_048_588).field == "payload"
    assert "1048588" in refusal(payload=b"x" * 1_048_588).problem


def test_what_is_too_large_is_named() -> None:
    assert refusal(key="é" * 600_000).field == "key"
    assert refusal(headers={"h": "x" * 1_100_000}).field == "headers"


def test_identities_are_uuids_of_version_7_that_sort_by_time() -> None:
    before = time.time_ns() // 1_000_000
    made = uuid7()
    after = time.time_ns() // 1_000_000
    assert made.version == 7
    assert made.variant == uuid4().variant
    assert before <= made.int >> 80 <= after
    assert len({uuid7() for _ in range(1_000)}) == 1_000


def test_many_messages_are_refused_as_a_whole_by_index_and_field() -> None:
    messages = [NewMessage(topic="a", payload={}), NewMessage(topic="a", payload={"x": object()})]
    with pytest.raises(InvalidMessage) as caught:
        # Nothing is a connection: it is not reached.
        Outbox().enqueue_many(None, messages)  # type: ignore[call-overload]
    assert caught.value.field == "messages[1].payload.x"


def test_rows_are_shared_out_in_order_by_number_and_by_bytes() -> None:
    small = prepare(NewMessage(topic="t", payload=b""), ANY_TOPIC)
    large = small._replace(payload=bytes(BYTES_PER_STATEMENT // 2))
    assert list(map(len, batches([small] * (ROWS_PER_STATEMENT + 1)))) == [ROWS_PER_STATEMENT, 1]
    assert list(map(len, batches([small, large, large, small, large]))) == [4, 1]
    assert list(batches([])) == []
