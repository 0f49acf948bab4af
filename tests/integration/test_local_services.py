"""The local servers lose nothing acknowledged, come back where they were, and leave nothing behind."""

import contextlib
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest
from confluent_kafka import Consumer, Producer

from relay.local.jars import KafkaUnavailable, find_java, kafka_jars
from relay.local.kafka import Kafka, MockKafka
from relay.local.postgres import Postgres, installed_binaries, wheel_binaries
from relay.local.process import ServiceUnavailable, alive, children
from relay.local.services import services
from tests.conftest import MakeTopic, OwnPostgres

ALL_VERSIONS = {**wheel_binaries(), **installed_binaries()}


def produce(brokers: str, topic: str, value: bytes) -> None:
    producer = Producer({"bootstrap.servers": brokers, "acks": "all"})
    producer.produce(topic, value)
    assert producer.flush(30) == 0


def consume(brokers: str, topic: str) -> bytes | None:
    consumer = Consumer({"bootstrap.servers": brokers, "group.id": "judge", "auto.offset.reset": "earliest"})
    try:
        consumer.subscribe([topic])
        [message] = consumer.consume(1, timeout=30)
        assert message.error() is None
        return message.value()
    finally:
        consumer.close()


def await_end(pids: list[int], seconds: float) -> list[int]:
    deadline = time.monotonic() + seconds
    while alive(pids) and time.monotonic() < deadline:
        time.sleep(0.01)
    return alive(pids)


@pytest.mark.parametrize("version", ALL_VERSIONS)
def test_postgres_runs_in_each_version_found_here(own_postgres: OwnPostgres, version: int) -> None:
    server = own_postgres(ALL_VERSIONS[version])
    with psycopg.connect(server.url()) as connection:
        assert connection.info.server_version // 10_000 == version
        assert connection.execute("show fsync").fetchone() == ("on",)


def test_crash_loses_no_committed_row_and_keeps_no_uncommitted_one(own_postgres: OwnPostgres) -> None:
    server = own_postgres()
    url = server.url()
    with psycopg.connect(url) as connection, psycopg.connect(url) as other:
        connection.execute("create table kept (n int)")
        connection.execute("insert into kept values (1)")
        connection.commit()
        other.execute("insert into kept values (2)")
        server.crash()
        with pytest.raises(psycopg.OperationalError):
            other.commit()
    server.start()
    assert server.url() == url
    with psycopg.connect(url) as connection:
        assert connection.execute("select n from kept").fetchall() == [(1,)]


def test_crash_loses_what_was_not_flushed(own_postgres: OwnPostgres) -> None:
    # Without a writer in the background that would flush it within a fraction of a second.
    server = own_postgres(settings={"synchronous_commit": "off", "wal_writer_delay": "10s"})
    with psycopg.connect(server.url(), autocommit=True) as connection:
        connection.execute("set synchronous_commit = on")
        connection.execute("create table lost (n int)")
        connection.execute("set synchronous_commit = off")
        connection.execute("insert into lost values (1)")
        server.crash()
    server.start()
    with psycopg.connect(server.url()) as connection:
        assert connection.execute("select n from lost").fetchall() == []


def test_stopped_postgres_starts_again_where_it_was(own_postgres: OwnPostgres) -> None:
    server = own_postgres()
    with psycopg.connect(server.url()) as connection:
        connection.execute("create table kept ()")
    server.stop()
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(server.url())
    server.start()
    with psycopg.connect(server.url()) as connection:
        connection.execute("select from kept")


def test_paused_postgres_keeps_its_connections_and_answers_when_it_goes_on(own_postgres: OwnPostgres) -> None:
    server = own_postgres()
    with psycopg.connect(server.url(), autocommit=True) as connection:
        server.pause()
        connection.pgconn.send_query(b"select 1")
        with pytest.raises(psycopg.errors.ConnectionTimeout):
            psycopg.connect(server.url(), connect_timeout=2)
        connection.pgconn.consume_input()
        assert connection.pgconn.is_busy()
        server.resume()
        result = connection.pgconn.get_result()
        assert result is not None
        assert result.get_value(0, 0) == b"1"
        while connection.pgconn.get_result():
            pass


def test_standby_has_what_was_committed_and_takes_writes_once_it_is_promoted(own_postgres: OwnPostgres) -> None:
    primary = own_postgres(settings={"synchronous_standby_names": "second", "synchronous_commit": "local"})
    second = own_postgres(settings={"cluster_name": "second"}, follows=primary)
    with psycopg.connect(primary.url(), autocommit=True) as connection:
        connection.execute("create table kept (n int)")
        connection.execute("set synchronous_commit = on")
        connection.execute("insert into kept values (1)")
    with (
        psycopg.connect(second.url(), autocommit=True) as connection,
        pytest.raises(psycopg.errors.ReadOnlySqlTransaction),
    ):
        connection.execute("insert into kept values (2)")
    primary.crash()
    second.promote()
    with psycopg.connect(second.url(), autocommit=True) as connection:
        connection.execute("insert into kept values (2)")
        assert connection.execute("select n from kept order by n").fetchall() == [(1,), (2,)]


def test_postgres_that_cannot_start_says_why_and_is_gone(services_folder: Path) -> None:
    server = Postgres(services_folder / "misconfigured", settings={"shared_buffers": "lots"})
    with pytest.raises(ServiceUnavailable, match=r"(?s)ended; .*.*invalid value for parameter \"shared_buffers\""):
        server.start()
    server.close()


def test_postgres_starts_in_a_folder_that_only_its_owner_can_reach(tmp_path: Path) -> None:
    (tmp_path / "closed").mkdir(mode=0o700)
    with Postgres(tmp_path / "closed" / "postgres") as server, psycopg.connect(server.url()) as connection:
        assert connection.execute("select 1").fetchone() == (1,)


@pytest.mark.parametrize("paused", [False, True])
def test_postgres_ends_with_the_program_that_started_it_even_by_sigkill(services_folder: Path, paused: bool) -> None:
    program = f"""if True:
        import pathlib, sys
        from relay.local.postgres import Postgres
        server = Postgres(pathlib.Path({str(services_folder / f"orphan-{paused}")!r}))
        server.start()
        print(server.pid, flush=True)
        {"server.pause()" if paused else ""}
        print("ready", flush=True)
        sys.stdin.read()
    """
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as started:
        assert started.stdout is not None
        postmaster = int(started.stdout.readline())
        assert started.stdout.readline() == "ready\n"
        pids = [postmaster, *children(postmaster)]
        started.kill()
        assert await_end(pids, 20) == []


def test_kafka_keeps_an_acknowledged_message_through_kill_and_start(own_kafka: Callable[[], Kafka]) -> None:
    server = own_kafka()
    produce(server.brokers, "kept", b"acknowledged")
    server.kill()
    server.start()
    assert consume(server.brokers, "kept") == b"acknowledged"


def test_paused_kafka_acknowledges_nothing_until_it_goes_on(own_kafka: Callable[[], Kafka]) -> None:
    server = own_kafka()
    produce(server.brokers, "waits", b"first")
    producer = Producer({"bootstrap.servers": server.brokers})
    server.pause()
    producer.produce("waits", b"second")
    assert producer.flush(1) == 1
    server.resume()
    assert producer.flush(30) == 0


def test_a_topic_is_made_with_its_partitions(kafka_brokers: str, make_topic: MakeTopic) -> None:
    topic = make_topic(partitions=3)
    producer = Producer({"bootstrap.servers": kafka_brokers})
    assert len(producer.list_topics(topic, timeout=30).topics[topic].partitions) == 3


def test_two_programs_that_fetch_kafka_at_once_both_get_it_whole(tmp_path: Path) -> None:
    program = """if True:
        import pathlib, sys
        from relay.local.jars import kafka_jars
        print(kafka_jars(pathlib.Path(sys.argv[1])))
    """
    cache = tmp_path / "cache"
    with contextlib.ExitStack() as running:
        programs = [
            running.enter_context(
                subprocess.Popen([sys.executable, "-c", program, str(cache)], stdout=subprocess.PIPE, text=True)
            )
            for _ in range(2)
        ]
        assert [started.communicate()[0] for started in programs] == [f"{cache / 'kafka-4.1.0'}\n"] * 2
    assert sorted(entry.name for entry in cache.iterdir()) == ["kafka-4.1.0", "kafka-4.1.0.lock", "maven"]
    assert {jar.name for jar in kafka_jars(cache).iterdir()} >= {
        "kafka_2.13-4.1.0.jar",
        "log4j-core-2.25.1.jar",
    }


def test_without_java_the_error_names_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("JAVA_HOME", raising=False)
    with pytest.raises(KafkaUnavailable, match=r"no Java .* install Java 17 or newer and Maven .* set KAFKA_BROKERS"):
        find_java()


def test_without_maven_the_error_names_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(KafkaUnavailable, match=r"no Maven .* install Java 17 or newer and Maven .* set KAFKA_BROKERS"):
        kafka_jars(tmp_path)
    assert not (tmp_path / "kafka-4.1.0").exists()


def test_the_imitation_takes_a_message_and_gives_it_back() -> None:
    mock = MockKafka()
    produce(mock.brokers, "imitated", b"kept")
    assert consume(mock.brokers, "imitated") == b"kept"


def test_servers_that_are_named_are_used_and_none_is_started(tmp_path: Path) -> None:
    with services(tmp_path / "unused", "postgresql://somewhere/app", "somewhere:9092") as given:
        assert (given.database_url, given.kafka_brokers) == ("postgresql://somewhere/app", "somewhere:9092")
    assert not (tmp_path / "unused").exists()


def test_a_migrated_database_is_empty_and_its_own(database: str) -> None:
    with psycopg.connect(database) as connection:
        connection.execute("insert into outbox.message (topic) values ('here')")
        assert connection.execute("select count(*) from outbox.message").fetchone() == (1,)
