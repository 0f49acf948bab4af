"""The port by which a relay is watched: what it says, to whom, and that nobody who calls there can hurt the relay."""

import json
import re
import socket
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics
from prometheus_client.parser import text_string_to_metric_families as plain

from relay import migrate
from relay.errors import PortUnavailable
from relay.watching import port as serving
from relay.watching.port import CLIENTS, Answer, opened
from tests.command import relay
from tests.conftest import OwnPostgres
from tests.faults.world import RelayProcess, World, wait_until, world


def ask(url: str, **headers: str) -> tuple[int, str, str]:
    """The status, media type and text of a page."""
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=10) as answer:
            return answer.status, answer.headers["Content-Type"], answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.headers["Content-Type"], error.read().decode()


def url_of(process: RelayProcess) -> str:
    """Where a relay says that it can be watched."""
    wait_until(lambda: process.log.exists() and process.said("watch it at "), 30)
    found = re.search(r"watch it at (\S+)/metrics", process.log.read_text())
    assert found is not None
    return found[1]


def until_ready(url: str) -> None:
    wait_until(lambda: ask(f"{url}/readyz")[0] == 200, 30, lambda: ask(f"{url}/readyz")[2])


def value(text: str, name: str) -> float:
    (found,) = [float(line.split()[-1]) for line in text.splitlines() if line.startswith(f"{name} ")]
    return found


def test_a_relay_is_alive_ready_and_measured_over_http(here: World) -> None:
    process = here.relay("one", RELAY_HTTP_PORT="0", RELAY_LOG_FORMAT="json")
    wait_until(lambda: process.log.exists() and process.said("port_opened"), 30)
    told = [json.loads(line) for line in process.log.read_text().splitlines()]
    (url,) = [line["url"] for line in told if line["event"] == "port_opened"]
    assert url.startswith("http://127.0.0.1:")
    until_ready(url)
    with here.judged() as judge:
        here.enqueue(3)
        judge.arrived(3)
    assert ask(f"{url}/livez")[::2] == (200, "the loop comes round\n")
    assert ask(f"{url}/readyz")[::2] == (200, "ready\n")
    published = f'outbox_relay_published_messages_total{{topic="{here.topic}"}}'
    wait_until(lambda: f"{published} 3.0" in ask(f"{url}/metrics")[2], 10)
    status, kind, text = ask(f"{url}/metrics")
    assert (status, kind) == (200, "text/plain; version=0.0.4; charset=utf-8") or kind.startswith(
        "text/plain; version="
    )
    assert {family.name for family in plain(text)} >= {"outbox_relay_latency_seconds", "process_cpu_seconds"}
    assert value(text, "outbox_relay_latency_seconds_count") == 3
    assert 0 <= value(text, "outbox_relay_latency_seconds_sum") < 60
    _, kind, text = ask(f"{url}/metrics", Accept="application/openmetrics-text; version=1.0.0")
    assert kind.startswith("application/openmetrics-text")
    families = openmetrics(text)  # type: ignore[no-untyped-call]
    assert "outbox_relay_build" in {family.name for family in families}
    assert ask(f"{url}/nothing")[0] == 404
    assert process.terminate() == 0
    assert all(json.loads(line)["relay"] == "one" for line in process.log.read_text().splitlines())


def test_without_the_setting_nobody_listens_and_nothing_is_measured(here: World) -> None:
    process = here.relay("one")
    wait_until(lambda: process.log.exists() and process.said("leases: 16 shards"), 30)
    sockets = {Path(f"/proc/{process.process.pid}/fd", fd).readlink() for fd in _fds(process)}
    listening = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines() if line.split()[3] == "0A"]
    assert not {Path(f"socket:[{line[9]}]") for line in listening} & sockets
    assert process.terminate() == 0


def _fds(process: RelayProcess) -> list[str]:
    return [path.name for path in Path(f"/proc/{process.process.pid}/fd").iterdir()]


def test_it_answers_while_kafka_is_waited_for_and_says_that_it_is_not_ready(here: World) -> None:
    process = here.relay("one", RELAY_HTTP_PORT="0", KAFKA_BROKERS="127.0.0.1:1")
    url = url_of(process)
    wait_until(lambda: "kafka at 127.0.0.1:1 does not answer" in ask(f"{url}/readyz")[2], 30)
    status, _, text = ask(f"{url}/readyz")
    assert (status, text.partition(":")[0]) == (503, "it waits to start")
    assert ask(f"{url}/livez")[0] == 200
    status, _, text = ask(f"{url}/metrics")
    assert (status, value(text, "outbox_relay_ready")) == (200, 0)
    assert "\noutbox_relay_pending_messages " not in text


def test_it_answers_while_postgres_is_away_and_keeps_what_was_measured(
    own_postgres: OwnPostgres, kafka_brokers: str, topic: str, tmp_path: Path
) -> None:
    server = own_postgres()
    migrate.upgrade(server.url())
    with world(server.url(), kafka_brokers, topic, tmp_path) as here:
        process = here.relay("one", RELAY_HTTP_PORT="0", RELAY_MEASURE_INTERVAL_SECONDS="1")
        url = url_of(process)
        wait_until(lambda: "\noutbox_relay_pending_messages 0" in ask(f"{url}/metrics")[2], 30)
        until_ready(url)
        server.crash()
        wait_until(lambda: "it was interrupted and begins anew" in ask(f"{url}/readyz")[2], 30)
        text = ask(f"{url}/metrics")[2]
        assert value(text, "outbox_relay_pending_messages") == 0
        assert value(text, "outbox_relay_shards") == 0
        assert ask(f"{url}/livez")[0] == 200
        server.start()
        until_ready(url)
        assert value(ask(f"{url}/metrics")[2], "outbox_relay_interruptions_total") >= 1
        assert process.terminate() == 0


@pytest.mark.parametrize("host", ["127.0.0.1", "192.0.2.1", "no-such-host.invalid"])
def test_a_port_that_cannot_be_had_is_a_mistake_that_names_it(host: str, here: World) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        found = relay(
            "run",
            DATABASE_URL=here.database_url,
            KAFKA_BROKERS=here.brokers,
            RELAY_HTTP_PORT=port,
            RELAY_HTTP_HOST=host,
        )
    assert found.returncode == 2
    assert f"relay: RELAY_HTTP_PORT {port} on RELAY_HTTP_HOST {host} cannot be had" in found.stderr


@contextmanager
def port(page: Callable[[str], Answer] = lambda _: Answer(200, "here\n")) -> Iterator[tuple[str, int]]:
    with opened("127.0.0.1", 0, {"/page": page}) as url:
        yield url, int(url.rpartition(":")[2])


def test_a_crowd_of_slow_clients_keeps_no_probe_out() -> None:
    with port() as (url, number), ExitStack() as crowd:
        for _ in range(3 * CLIENTS):
            slow = crowd.enter_context(socket.create_connection(("127.0.0.1", number)))
            slow.sendall(b"GET /page HTTP/1.1\r\n")
        before = time.monotonic()
        assert ask(f"{url}/page")[::2] == (200, "here\n")
        assert time.monotonic() - before < 5


def test_a_client_that_sends_a_little_now_and_then_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serving, "SECONDS", 1.0)
    with port() as (_, number), socket.create_connection(("127.0.0.1", number)) as slow:
        slow.sendall(b"GET /page HTTP/1.1\r\n")
        before = time.monotonic()
        slow.settimeout(0.2)
        ended = False
        while not ended and time.monotonic() - before < 20:
            try:
                slow.sendall(b"a")
                ended = slow.recv(1) == b""
            except TimeoutError:
                continue
            except ConnectionError:
                ended = True
        assert ended


def test_a_request_without_end_is_cut_short() -> None:
    with port() as (url, number):
        with socket.create_connection(("127.0.0.1", number)) as client:
            client.settimeout(20)
            with pytest.raises(OSError, match=r"reset|[Bb]roken pipe"):
                client.sendall(b"GET /page HTTP/1.1\r\n")
                while True:
                    client.sendall(b"X-Long: " + b"x" * 60_000 + b"\r\n")
        assert ask(f"{url}/page")[0] == 200


@pytest.mark.parametrize(
    "request_",
    [b"POST /page HTTP/1.1\r\n\r\n", b"\x00\xff\x16\x03\x01\r\n\r\n", b"GET /page HTTP/9.9\r\n\r\n", b"\r\n"],
)
def test_nonsense_is_refused_and_the_next_one_is_served(request_: bytes) -> None:
    with port() as (url, number):
        with socket.create_connection(("127.0.0.1", number)) as client:
            client.settimeout(20)
            client.sendall(request_)
            assert b" 200 " not in client.recv(100)
        assert ask(f"{url}/page")[0] == 200


def test_a_page_is_made_once_for_many_who_ask_at_once() -> None:
    made: list[str] = []

    def page(accept: str) -> Answer:
        made.append(accept)
        return Answer(200, "x")

    with port(page) as (url, _):
        began = time.monotonic()
        for _ in range(30):
            assert ask(f"{url}/page")[0] == 200
        assert len(made) <= 1 + (time.monotonic() - began) / serving.FRESH_SECONDS


def test_a_page_that_fails_ends_its_connection_alone() -> None:
    def page(_: str) -> Answer:
        raise RuntimeError

    with port(page) as (url, _):
        for _ in range(2):
            with pytest.raises(OSError, match=r"closed connection|reset"):
                ask(f"{url}/page")


def test_it_listens_on_ipv6_too_where_it_is_told_to() -> None:
    with opened("::1", 0, {"/page": lambda _: Answer(200, "six\n")}) as url:
        assert url.startswith("http://[::1]:")
        assert ask(f"{url}/page")[2] == "six\n"


def test_a_host_is_named_in_its_refusal() -> None:
    with port() as (_, number), pytest.raises(PortUnavailable, match=f"{number} on RELAY_HTTP_HOST 127.0.0.1"):
        with opened("127.0.0.1", number, {}):
            pass
