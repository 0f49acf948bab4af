"""What a worker promises of every message: handled at least once, one effect, and never passed over when it fails."""

import json
import socket
import threading
from collections.abc import Sequence
from contextlib import suppress
from typing import Any
from urllib.request import urlopen

import pytest
from confluent_kafka import OFFSET_BEGINNING, Consumer, TopicPartition
from psycopg import errors

from app_integration.workers import Backoff, Outage, Received, Reject, Worker, inbox, operate
from app_integration.workers.handling import Outcome
from app_integration.workers.worker import HandleMany
from relay.errors import ChoiceError, SchemaError
from tests.conftest import MakeTopic
from tests.integration.workers.conftest import Connection, Produce, Run, rows, wait_until, way


@pytest.fixture(autouse=True)
def effects(session: Connection) -> None:
    """A table that tells each effect."""
    session.execute("create table effect (n bigint generated always as identity, id text, value text)")


def effect(connection: Connection, message: Received) -> None:
    connection.execute("insert into effect (id, value) values (%s, %s)", (message.id, (message.value or b"").decode()))


def worker(topic: str, handle: Any = effect, **more: Any) -> Worker:
    return Worker("test", (topic,), handle, **{"backoff": Backoff(0.05, 0.05, 3), **more})


def seen(session: Connection) -> list[str]:
    return [value for (value,) in rows(session, "select value from effect order by n")]


def handled(session: Connection, *ids: str) -> bool:
    found = rows(
        session, "select ce_id from worker.inbox where outcome = 'handled' and ce_id = any(%(i)s)", i=list(ids)
    )
    return len(found) == len(set(ids))


def test_each_message_has_its_effect_once_however_often_it_comes(
    topic: str, session: Connection, produce: Produce, run: Run
) -> None:
    ids = [produce(topic, str(n).encode(), key=str(n % 3)) for n in range(20)]
    again = [produce(topic, str(n).encode(), id=one, ce_replay="7") for n, one in enumerate(ids[:5])]
    with run(worker(topic)):
        wait_until(lambda: handled(session, *ids))
    last = produce(topic, b"20")
    with run(worker(topic)):
        wait_until(lambda: handled(session, last))
    assert sorted(seen(session), key=int) == [str(n) for n in range(21)]
    assert again == ids[:5]
    assert way(session, ids[0]) == [("test", "handled", 1, None)]
    assert rows(
        session, "select topic, handled_at < clock_timestamp() from worker.inbox where ce_id = %(id)s", id=last
    ) == [(topic, True)]


def test_a_replay_with_force_is_handled_once_more_and_its_own_repeat_is_not(
    topic: str, session: Connection, produce: Produce, run: Run
) -> None:
    first = produce(topic, b"first", key="k")
    for _ in range(2):
        produce(topic, b"forced", key="k", id=first, ce_replay="8", ce_force="true")
    produce(topic, b"forced by nobody", key="k", id=first, ce_force="true")
    last = produce(topic, b"last", key="k")
    with run(worker(topic)):
        wait_until(lambda: handled(session, last))
    assert seen(session) == ["first", "forced", "last"]
    assert rows(session, "select replay from worker.inbox where ce_id = %(id)s order by 1", id=first) == [(0,), (8,)]


def test_a_message_without_identity_is_known_by_its_place(
    topic: str, session: Connection, produce: Produce, run: Run
) -> None:
    produce(topic, b"nameless", ce_id=None)
    with run(worker(topic)):
        wait_until(lambda: seen(session) == ["nameless"])
    ((name,),) = rows(session, "select ce_id from worker.inbox")
    assert name.startswith(f"{topic}/")


def test_a_message_that_fails_harms_no_other_of_its_batch_and_is_retried_and_dead_with_its_error(
    topic: str, session: Connection, produce: Produce, run: Run, kafka_brokers: str
) -> None:
    def fail(connection: Connection, message: Received) -> None:
        effect(connection, message)
        if message.value == b"poison":
            raise ValueError("no\r\nidea\x1b")

    good = [produce(topic, b"good", key="k") for _ in range(3)]
    poison = produce(topic, b"poison", key="k", mine="kept")
    good += [produce(topic, b"good", key="k") for _ in range(3)]
    with run(worker(topic, fail)):
        wait_until(lambda: way(session, poison)[0][1:3] == ("dead", 3) if way(session, poison) else False)
        wait_until(lambda: handled(session, *good))
    assert seen(session) == ["good"] * 6
    assert way(session, poison) == [("test", "dead", 3, "ValueError: no idea\\x1b")]
    key, value, headers = dead_letter(kafka_brokers, topic)
    ((partition, offset),) = rows(session, 'select partition, "offset" from worker.held')
    assert (key, value, headers["ce_id"], headers["mine"]) == (b"k", b"poison", poison, "kept")
    assert {name: text for name, text in headers.items() if name.startswith("dead_")} == {
        "dead_consumer": "test",
        "dead_topic": topic,
        "dead_partition": str(partition),
        "dead_offset": str(offset),
        "dead_attempts": "3",
        "dead_error": "ValueError: no idea\\x1b",
    }


def dead_letter(brokers: str, topic: str) -> tuple[bytes, bytes, dict[str, str]]:
    consumer = Consumer({"bootstrap.servers": brokers, "group.id": "nobody", "enable.auto.commit": False})
    try:
        there = consumer.list_topics(f"{topic}.dead", timeout=30).topics[f"{topic}.dead"].partitions
        consumer.assign([TopicPartition(f"{topic}.dead", partition, OFFSET_BEGINNING) for partition in there])
        message = consumer.poll(30)
        assert message is not None
        assert consumer.poll(1) is None, "there is a second letter"
        headers: Any = message.headers()
        return message.key(), message.value(), {name: value.decode() for name, value in headers}  # type: ignore[return-value]
    finally:
        consumer.close()


def test_dead_messages_are_handled_again_when_an_operator_says_so(
    topic: str, session: Connection, produce: Produce, run: Run
) -> None:
    mended = threading.Event()

    def reject(connection: Connection, message: Received) -> None:
        if not mended.is_set():
            raise Reject("not now")
        effect(connection, message)

    ids = [produce(topic, b"a"), produce(topic, b"b")]
    with run(worker(topic, reject)):
        wait_until(lambda: len(operate.dead(session, "test")) == 2)
        assert {(one.attempts, one.error) for one in operate.dead(session, "test")} == {(1, "not now")}
        with pytest.raises(ChoiceError, match="nobody is no dead message"):
            operate.replay(session, "test", [ids[0], "nobody"])
        mended.set()
        assert operate.replay(session, "test", [ids[0]]) == 1
        wait_until(lambda: handled(session, ids[0]))
        assert not handled(session, ids[1])
        assert operate.replay(session, "test") == 1
        wait_until(lambda: handled(session, ids[1]))
    assert seen(session) == ["a", "b"]
    assert rows(session, "select count(*) from worker.held") == [(0,)]


def test_an_ordered_worker_lets_later_messages_of_a_key_wait_and_those_of_others_go(
    make_topic: MakeTopic, session: Connection, produce: Produce, run: Run
) -> None:
    topic, mended = make_topic(partitions=1), threading.Event()

    def stumble(connection: Connection, message: Received) -> None:
        if message.value == b"1" and not mended.is_set():
            raise ValueError("stumbled")
        effect(connection, message)

    ids = [produce(topic, value, key=key) for key, value in (("k", b"1"), ("k", b"2"), ("other", b"x"), ("k", b"3"))]
    with run(worker(topic, stumble, ordered=True, backoff=Backoff(0.05, 0.05, 1000))):
        wait_until(lambda: seen(session) == ["x"])
        wait_until(lambda: len(way(session, ids[3])) == 1)
        assert [way(session, one)[0][1] for one in ids] == ["retrying", "waiting", "handled", "waiting"]
        mended.set()
        wait_until(lambda: handled(session, *ids))
    assert seen(session) == ["x", "1", "2", "3"]


def test_an_outage_counts_no_attempt_and_holds_nothing_however_long(
    topic: str, session: Connection, produce: Produce, run: Run
) -> None:
    away, met = threading.Event(), threading.Semaphore(0)
    away.set()

    def reach(connection: Connection, message: Received) -> None:
        effect(connection, message)
        if away.is_set():
            met.release()
            raise Outage("the other side is away")

    ids = [produce(topic, str(n).encode()) for n in range(5)]
    with run(worker(topic, reach, backoff=Backoff(0.05, 0.05, 1))):
        for _ in range(3):
            assert met.acquire(timeout=60)
        assert rows(session, "select count(*) from worker.inbox") == [(0,)]
        away.clear()
        wait_until(lambda: handled(session, *ids))
    assert sorted(seen(session)) == ["0", "1", "2", "3", "4"]
    assert rows(session, "select count(*) from worker.held") == [(0,)]


def test_a_session_that_the_database_ends_is_an_outage(
    topic: str, session: Connection, produce: Produce, run: Run
) -> None:
    ended = threading.Event()

    def end(connection: Connection, message: Received) -> None:
        if not ended.is_set():
            ended.set()
            session.execute("select pg_terminate_backend(%s)", (connection.info.backend_pid,))
        effect(connection, message)

    one = produce(topic, b"once")
    with run(worker(topic, end, backoff=Backoff(0.05, 0.05, 1))):
        wait_until(lambda: handled(session, one))
    assert (seen(session), way(session, one)) == (["once"], [("test", "handled", 1, None)])


def test_many_at_once_are_undone_together_and_handled_one_by_one_when_one_fails(
    make_topic: MakeTopic, session: Connection, produce: Produce, run: Run
) -> None:
    topic, batches = make_topic(partitions=1), []

    def many(connection: Connection, messages: Sequence[Received]) -> None:
        batches.append(len(messages))
        for message in messages:
            effect(connection, message)
            if message.value == b"poison":
                raise Reject("poison")

    ids = [produce(topic, value) for value in (b"a", b"b", b"poison", b"c")]
    handle_many: HandleMany = many
    with run(worker(topic, None, handle_many=handle_many)):
        wait_until(lambda: handled(session, *(ids[:2] + ids[3:])))
        wait_until(lambda: way(session, ids[2])[0][1] == "dead")
    assert seen(session) == ["a", "b", "c"]
    assert max(batches) > 1
    assert 1 in batches


def test_a_handler_that_swallows_an_error_of_the_database_loses_nothing(
    topic: str, session: Connection, produce: Produce, run: Run
) -> None:
    def swallow(connection: Connection, _: Received) -> None:
        with suppress(errors.DivisionByZero):
            connection.execute("select 1/0")

    one = produce(topic, b"x")
    with run(worker(topic, swallow)):
        wait_until(lambda: way(session, one) and way(session, one)[0][1] == "dead")
    assert "swallowed an error" in way(session, one)[0][3]


def test_bytes_that_are_no_text_and_headers_that_mean_nothing_are_kept_as_they_are(
    topic: str, session: Connection, produce: Produce, run: Run
) -> None:
    raw = bytes(range(256))
    received: list[Received] = []

    def once(connection: Connection, message: Received) -> None:
        received.append(message)
        if len(received) == 1:
            raise ValueError("later")
        effect(connection, Received(message.topic, 0, 0, None, b"ok", message.headers))

    produce(topic, raw, ce_time="no time", weird="\x00é")
    with run(worker(topic, once)):
        wait_until(lambda: seen(session) == ["ok"])
    first, again = received[0], received[1]
    assert (first, again.value, json.dumps(list(again.header.items()))) == (
        again,
        raw,
        json.dumps(list(first.header.items())),
    )


def test_a_worker_says_that_its_schema_is_missing(database: str, topic: str, run: Run) -> None:
    with pytest.raises(SchemaError, match="worker migrate"), run(worker(topic), database_url=database):
        pass


def test_metrics_tell_outcomes_lag_and_what_is_held(
    topic: str, session: Connection, produce: Produce, run: Run
) -> None:
    def fail(connection: Connection, message: Received) -> None:
        if message.value == b"poison":
            raise Reject("poison")
        effect(connection, message)

    ids = [produce(topic, b"good") for _ in range(3)]
    produce(topic, b"again", id=ids[0])
    produce(topic, b"poison")
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]

    def told() -> dict[str, float]:
        with urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
            lines = answer.read().decode().splitlines()
        return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines if line[0] != "#")}

    with run(worker(topic, fail), metrics_port=port):
        wait_until(lambda: rows(session, "select count(*) from worker.inbox") == [(4,)])
        wait_until(lambda: told().get('worker_held{consumer="test",state="dead"}') == 1)
        counted = told()
    by_outcome = {one: counted[f'worker_messages_total{{consumer="test",outcome="{one}"}}'] for one in Outcome}
    assert by_outcome == {"handled": 3, "repeated": 1, "retrying": 0, "waiting": 0, "dead": 1}
    lags = [value for name, value in counted.items() if name.startswith("worker_lag{")]
    assert set(lags) == {0.0}


def test_the_inbox_is_pruned_of_what_is_old_and_not_of_what_is_held(session: Connection) -> None:
    session.execute(
        """insert into worker.inbox (ce_id, consumer, topic, partition, "offset", outcome, handled_at)
        select id, 'c', 't', 0, 0, 'handled', clock_timestamp() - age::interval
        from (values ('old', '31 days'), ('held', '31 days'), ('new', '29 days')) as v(id, age)"""
    )
    session.execute(
        """insert into worker.held (consumer, ce_id, replay, topic, partition, "offset", headers, "timestamp", ordered,
        attempts, due_at) values ('c', 'held', 0, 't', 0, 0, '[]', 0, false, 1, clock_timestamp())"""
    )
    assert [inbox.prune(session, 30 * 86_400, 10) for _ in range(2)] == [1, 0]
    assert rows(session, "select ce_id from worker.inbox order by 1") == [("held",), ("new",)]
