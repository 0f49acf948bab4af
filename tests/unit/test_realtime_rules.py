"""The pure parts of real time: rates, records, calls, frames and settings."""

import itertools
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app_integration.realtime.calls import AFTER, State, Step, after, ending
from app_integration.realtime.gate import problem
from app_integration.realtime.names import ROOM, USER, owner_of, room_of
from app_integration.realtime.rates import Bucket
from app_integration.realtime.records import Kind, Malformed, Record, decode, notification
from app_integration.realtime.refusal import Refusal
from app_integration.realtime.requests import Candidate, Join, parse
from app_integration.realtime.settings import from_environment
from relay.errors import UserMistake

ENOUGH = {
    "DATABASE_URL": "postgresql+psycopg://app:geheim@db/shop",
    "KAFKA_BROKERS": "kafka:9092",
    "JWT_SECRET": "x" * 32,
}


@given(st.lists(st.floats(0, 2), min_size=1, max_size=200))
def test_a_bucket_never_gives_more_than_its_burst_and_its_rate(pauses: list[float]) -> None:
    bucket = Bucket(per_second=2, burst=5, now=0.0)
    now = taken = 0.0
    for pause in pauses:
        now += pause
        wait = bucket.take(now)
        taken += wait == 0
        assert 0 <= wait <= 0.5 + 1e-9
    assert taken <= 5 + 2 * now + 1e-6


def test_whoever_waits_as_long_as_the_bucket_says_gets_a_token() -> None:
    bucket = Bucket(per_second=3, burst=1, now=0.0)
    assert bucket.take(0.0) == 0
    assert bucket.take(bucket.take(0.0) + 1e-9) == 0


def test_a_call_takes_the_steps_of_its_table_and_no_other() -> None:
    for state, step in itertools.product(State, Step):
        if (state, step) in AFTER:
            assert after(state, step) is AFTER[state, step]
        else:
            with pytest.raises(Refusal):
                after(state, step)
    assert not [step for state, step in AFTER if state is State.ENDED]


def test_hanging_up_is_what_one_would_expect() -> None:
    assert ending(State.RINGING, by_caller=True) is Step.CANCEL
    assert ending(State.RINGING, by_caller=False) is Step.DECLINE
    assert ending(State.ACTIVE, by_caller=False) is Step.HANG_UP


@given(st.dictionaries(st.text(), st.text()))
def test_a_record_is_read_as_it_was_written(body: dict[str, Any]) -> None:
    record = Record(Kind.TYPING, "course:7", body)
    assert decode(record.encode()) == record


@given(st.binary() | st.text())
def test_nonsense_is_malformed_and_never_anything_else(value: bytes | str) -> None:
    with pytest.raises(Malformed):
        decode(value)


def test_a_notification_goes_to_its_users_own_room_and_to_no_other() -> None:
    message = notification("ada", {"title": "Soon"})
    assert (message.topic, message.key, message.type) == ("realtime-events", "user:ada", "realtime.notification")
    for wrong in ("", "ada\n", "a:b", "../x", "å"):
        with pytest.raises(ValueError, match="user_id"):
            notification(wrong, {})


@given(st.from_regex(USER, fullmatch=True))
def test_a_users_own_room_is_theirs(user: str) -> None:
    assert ROOM.fullmatch(room_of(user))
    assert owner_of(room_of(user)) == user


@given(st.text() | st.binary())
def test_a_frame_is_judged_without_an_exception(frame: str | bytes) -> None:
    problem(frame, 1000)
    problem("42" + str(frame), 1000)


@pytest.mark.parametrize(
    "frame", ["2", "3", "2probe", "40", '40{"token":"x"}', '42["join",{}]', '427["join",{}]', "41"]
)
def test_a_frame_of_a_client_passes(frame: str) -> None:
    assert problem(frame, 1000) is None


def test_a_frame_is_measured_in_bytes() -> None:
    frame = '42["é"]'
    assert problem(frame, len(frame.encode())) is None
    assert "larger" in (problem(frame, len(frame)) or "")


def test_a_request_of_another_shape_is_refused_by_its_field() -> None:
    with pytest.raises(Refusal) as refused:
        parse(Join, ({"room": "course:1", "after": True},))
    assert refused.value.error["field"] == "after"
    call = "0199b1c2-0000-7000-8000-000000000000"
    given_ = {"candidate": "c", "sdpMid": None, "sdpMLineIndex": 0}
    asked = parse(Candidate, ({"callId": call, "candidate": given_},))
    assert asked.candidate.model_dump(by_alias=True, exclude_unset=True) == given_


def test_settings_are_read_and_sqlalchemys_url_too() -> None:
    settings = from_environment({**ENOUGH, "REALTIME_LIMIT_BURST": "7", "REALTIME_LIMIT_QUEUE": "30"})
    assert settings.database_url == "postgresql://app:geheim@db/shop"
    assert (settings.limits.burst, settings.limits.queue) == (7, 30)
    assert (settings.retention, settings.metrics_port) == (365 * 86_400, None)
    assert from_environment({**ENOUGH, "REALTIME_RETENTION": "forever"}).retention == math.inf
    assert from_environment({**ENOUGH, "REALTIME_RETENTION": "90d"}).retention == 90 * 86_400
    assert "geheim" not in repr(settings)
    assert ENOUGH["JWT_SECRET"] not in repr(settings)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"DATABASE_URL": ""}, "DATABASE_URL"),
        ({"DATABASE_URL": "mysql://root:geheim@db"}, "DATABASE_URL"),
        ({"KAFKA_BROKERS": ""}, "KAFKA_BROKERS"),
        ({"JWT_SECRET": "short"}, "JWT_SECRET"),
        ({"JWT_SECRET_FILE": "/nowhere"}, "JWT_SECRET and JWT_SECRET_FILE are both set"),
        ({"DATABASE_URL_FILE": "/nowhere"}, "DATABASE_URL and DATABASE_URL_FILE are both set"),
        ({"REALTIME_ORIGINS": "*"}, "REALTIME_ORIGINS"),
        ({"REALTIME_TRANSPORTS": "smoke"}, "REALTIME_TRANSPORTS"),
        ({"REALTIME_POLICY": "os.system('x')"}, "REALTIME_POLICY"),
        ({"REALTIME_KAFKA": '{"sasl.password": "geheim"}'}, "REALTIME_KAFKA means nothing here"),
        ({"REALTIME_KAFKA_GROUP_ID": "geheim"}, "REALTIME_KAFKA_GROUP_ID may not be set: group.id guards"),
        ({"REALTIME_RING_SECONDS": "nan"}, "REALTIME_RING_SECONDS"),
        ({"REALTIME_LIMIT_QUEUE": "0"}, "REALTIME_LIMIT_QUEUE"),
        ({"REALTIME_RETENTION": "a while"}, "REALTIME_RETENTION"),
        ({"REALTIME_METRICS_PORT": "0"}, "REALTIME_METRICS_PORT"),
        ({"REALTIME_METRICS_PORT": "nine"}, "REALTIME_METRICS_PORT"),
        ({"REALTIME_HEARTBEET_SECONDS": "1"}, "REALTIME_HEARTBEET_SECONDS"),
        ({"REALTIME_DEAD_AFTER_SECONDS": "3"}, "REALTIME_DEAD_AFTER_SECONDS"),
    ],
)
def test_a_setting_that_is_wrong_is_named_and_no_secret_is(change: dict[str, str], named: str) -> None:
    with pytest.raises(UserMistake, match=named) as mistake:
        from_environment({**ENOUGH, **change})
    assert "geheim" not in str(mistake.value)


def test_properties_of_the_client_are_set_by_variables_and_those_of_kubernetes_are_none() -> None:
    kubernetes = {"REALTIME_SERVICE_HOST": "10.0.0.1", "REALTIME_PORT": "tcp://10.0.0.1:80"}
    settings = from_environment({**ENOUGH, **kubernetes, "REALTIME_KAFKA_SASL_USERNAME": "r"})
    assert settings.kafka == {"sasl.username": "r"}
