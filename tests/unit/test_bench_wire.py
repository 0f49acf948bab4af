"""The wire between a relay and PostgreSQL: the address that leads through it, and what it counts."""

import socket
import threading

import pytest
from psycopg.conninfo import conninfo_to_dict

from relay.bench.wire import HERE, Wire, through


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://relay@db.internal:5433/shop",
        "postgresql://relay:secret@db.internal/shop?sslmode=require",
        "postgresql://relay@one,two:5433/shop?target_session_attrs=read-write",
        "postgresql:///shop?host=/var/run/postgresql&user=relay&port=5433",
        "postgresql://relay@[::1]:5433/shop?hostaddr=::1",
    ],
)
def test_the_address_alone_changes(url: str) -> None:
    before, after = conninfo_to_dict(url), conninfo_to_dict(through(url, "/var/run/postgresql", "p:@/ ß", 6000))
    address = {"host": "/var/run/postgresql", "hostaddr": HERE, "port": "6000", "password": "p:@/ ß"}
    assert after == {**before, **address}


def test_no_password_is_made_up() -> None:
    assert "password" not in conninfo_to_dict(through("postgresql://relay@db/shop", "db", "", 6000))


def test_each_question_counts_once_however_it_is_cut_and_every_byte_arrives() -> None:
    with socket.create_server((HERE, 0)) as server, Wire(*server.getsockname()) as wire:
        threading.Thread(target=wire.serve_forever, daemon=True).start()
        with socket.create_connection((HERE, wire.port)) as client:
            upstream, _ = server.accept()
            with upstream:
                for question in (b"first", b"second"):
                    for piece in (question, b", in pieces"):
                        client.sendall(piece)
                        assert _exactly(upstream, len(piece)) == piece
                    upstream.sendall(b"answer")
                    assert _exactly(client, 6) == b"answer"
                assert wire.asked == 2
                client.shutdown(socket.SHUT_WR)
                assert upstream.recv(1) == b""
        wire.shutdown()


def test_a_client_that_only_listens_asks_nothing() -> None:
    with socket.create_server((HERE, 0)) as server, Wire(*server.getsockname()) as wire:
        threading.Thread(target=wire.serve_forever, daemon=True).start()
        with socket.create_connection((HERE, wire.port)) as client:
            upstream, _ = server.accept()
            with upstream:
                for _ in range(3):
                    upstream.sendall(b"notice")
                    assert _exactly(client, 6) == b"notice"
                assert wire.asked == 0
        wire.shutdown()


def _exactly(connection: socket.socket, count: int) -> bytes:
    received = b""
    while len(received) < count and (more := connection.recv(count - len(received))):
        received += more
    return received
