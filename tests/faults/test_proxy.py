"""The proxy itself: each thing that it can do to a connection is what it says, seen from both ends of a socket."""

import socket
import threading
from collections.abc import Iterator
from contextlib import closing, suppress

import pytest

from tests.faults.proxy import Proxy, network


class Echo:
    """A server that sends back what it receives, and remembers how its connections ended."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.ended = threading.Semaphore(0)
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._echo, args=(connection,), daemon=True).start()

    def _echo(self, connection: socket.socket) -> None:
        with connection:
            try:
                while data := connection.recv(65_536):
                    connection.sendall(data)
            except OSError:
                pass
            self.ended.release()

    def close(self) -> None:
        # A close alone would not end the accept that waits.
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()


@pytest.fixture
def echo() -> Iterator[Echo]:
    with closing(Echo()) as made:
        yield made


@pytest.fixture
def proxy(echo: Echo) -> Iterator[Proxy]:
    with network() as running:
        yield running.to(echo.port)


@pytest.fixture
def client(proxy: Proxy) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", proxy.port), 5) as connection:
        assert said(connection, b"hello") == b"hello"
        yield connection


def said(connection: socket.socket, words: bytes) -> bytes:
    """Say something and return as much as comes back."""
    connection.sendall(words)
    back = b""
    while len(back) < len(words):
        piece = connection.recv(65_536)
        if not piece:
            break
        back += piece
    return back


def test_large_pieces_pass_unchanged_in_both_directions(client: socket.socket) -> None:
    words = bytes(range(256)) * 4_000
    sender = threading.Thread(target=client.sendall, args=(words,))
    sender.start()
    back = b""
    while len(back) < len(words):
        back += client.recv(65_536)
    sender.join()
    assert back == words


def test_end_of_the_client_is_told_to_the_server(client: socket.socket, echo: Echo) -> None:
    client.close()
    assert echo.ended.acquire(timeout=5)


def test_cut_is_told_to_both_ends_and_new_connections_pass(client: socket.socket, proxy: Proxy, echo: Echo) -> None:
    proxy.cut()
    assert echo.ended.acquire(timeout=5)
    with pytest.raises(ConnectionResetError):
        client.recv(1)
    with socket.create_connection(("127.0.0.1", proxy.port), 5) as another:
        assert said(another, b"again") == b"again"


def test_refusal_ends_every_connection_until_it_is_mended(client: socket.socket, proxy: Proxy) -> None:
    proxy.refuse()
    with pytest.raises(ConnectionResetError):
        client.recv(1)
    with pytest.raises(ConnectionError), socket.create_connection(("127.0.0.1", proxy.port), 5) as refused:
        refused.recv(1)
    proxy.mend()
    with socket.create_connection(("127.0.0.1", proxy.port), 5) as another:
        assert said(another, b"again") == b"again"


def test_silence_withholds_and_then_hands_over(client: socket.socket, proxy: Proxy) -> None:
    proxy.silence()
    client.sendall(b"withheld")
    client.settimeout(0.2)
    with pytest.raises(TimeoutError):
        client.recv(1)
    client.settimeout(5)
    proxy.mend()
    assert client.recv(100) == b"withheld"


def test_slow_way_keeps_the_order(client: socket.socket, proxy: Proxy) -> None:
    proxy.slow(0.02)
    for number in range(20):
        assert said(client, b"%d" % number) == b"%d" % number


def test_client_without_a_server_hears_of_it_only_when_mended(client: socket.socket, proxy: Proxy, echo: Echo) -> None:
    proxy.orphan(server=True)
    assert echo.ended.acquire(timeout=5)
    client.sendall(b"into the void")
    client.settimeout(0.2)
    with pytest.raises(TimeoutError):
        client.recv(1)
    client.settimeout(5)
    proxy.mend()
    with pytest.raises(ConnectionResetError):
        client.recv(1)


def test_server_without_a_client_hears_of_it_only_when_mended(client: socket.socket, proxy: Proxy, echo: Echo) -> None:
    proxy.orphan(server=False)
    with pytest.raises(ConnectionResetError):
        client.recv(1)
    assert not echo.ended.acquire(timeout=0.2)
    proxy.mend()
    assert echo.ended.acquire(timeout=5)


def test_server_that_is_away_resets_the_client(proxy: Proxy, echo: Echo) -> None:
    echo.close()
    with pytest.raises(ConnectionError), socket.create_connection(("127.0.0.1", proxy.port), 5) as client:
        client.recv(1)
