"""systemd hears how the relay is, by a real datagram socket: ready when it has joined, fed while it beats, stopping."""

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from relay import events
from relay.blame import Fault
from relay.hold import Failure
from relay.leasing.pulse import Limits, Pulse
from relay.supervisor import Supervisor, said
from tests.command import start


@pytest.fixture
def listener(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as opened:
        opened.bind(str(tmp_path / "notify"))
        opened.settimeout(60)
        yield opened


def heard(listener: socket.socket, wanted: str) -> list[str]:
    """All that was said until something began so."""
    said = [""]
    while not said[-1].startswith(wanted):
        said.append(listener.recv(4096).decode())
    return said[1:]


def test_a_relay_says_when_it_is_ready_alive_and_stopping(
    database: str, kafka_brokers: str, listener: socket.socket
) -> None:
    address = listener.getsockname()
    with start("run", DATABASE_URL=database, KAFKA_BROKERS=kafka_brokers, NOTIFY_SOCKET=address) as process:
        assert heard(listener, "READY=1")[-1].startswith("READY=1\nSTATUS=connected to 127.0.0.1:")
        assert heard(listener, "STATUS=publishes")[-1] == "STATUS=publishes 16 shards"
        heard(listener, "WATCHDOG=1")
        process.terminate()
        heard(listener, "STOPPING=1")
        process.communicate(timeout=60)
    assert process.returncode == 0


def test_sighup_ends_a_relay_in_order(database: str, kafka_brokers: str, listener: socket.socket) -> None:
    address = listener.getsockname()
    with start("run", DATABASE_URL=database, KAFKA_BROKERS=kafka_brokers, NOTIFY_SOCKET=address) as process:
        heard(listener, "READY=1")
        process.send_signal(1)
        process.communicate(timeout=60)
    assert process.returncode == 0


def test_the_watchdog_starves_while_the_loop_is_stuck() -> None:
    fed: list[int] = []
    told: list[events.Event] = []
    pulse = Pulse(Limits(told=0.2, ended=3_600), told.append, lambda: fed.append(1))
    pulse._look()
    assert fed == [1]
    pulse._beat -= 1
    pulse._look()
    assert fed == [1]
    assert isinstance(told[0], events.LoopStuck)
    pulse.beat()
    pulse._look()
    assert fed == [1, 1]


def test_a_server_cannot_speak_for_the_relay() -> None:
    words = said(events.Interrupted("the database said\nREADY=1\x00 " + "x" * 1_000, 1))
    assert "\n" not in words
    assert len(words) < 400


@pytest.mark.parametrize("address", ["/nowhere/at/all", "@nobody-listens-here", "", "relative"])
def test_a_supervisor_that_does_not_listen_changes_nothing(address: str) -> None:
    told: list[events.Event] = []
    supervisor = Supervisor({"NOTIFY_SOCKET": address})
    supervisor.overhearing(told.append)(events.Stopped(3))
    supervisor.alive()
    assert told == [events.Stopped(3)]


def test_an_abstract_address_is_understood() -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as opened:
        name = f"outbox-test-{os.getpid()}"
        opened.bind(f"\0{name}")
        opened.settimeout(10)
        Supervisor({"NOTIFY_SOCKET": f"@{name}"}).alive()
        assert opened.recv(100) == b"WATCHDOG=1"


def test_an_outage_that_is_over_is_not_told_of_any_more() -> None:
    away = said(events.BrokerSilent(Failure(Fault.BROKER, "_TRANSPORT", "no broker"), 10, 1))
    assert away == "STATUS=kafka does not take messages: no broker"
    assert said(events.BrokerBack(1)) == "STATUS=kafka answers again, the backlog is published in order"
