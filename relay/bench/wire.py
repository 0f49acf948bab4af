"""The wire between a relay and PostgreSQL: passes every byte on, and counts how often the relay asks something.

It looks at directions only, so it counts alike on every server and under TLS, and needs no right in the database: each
time the client sends after the server has sent, it asks anew. A statement that is waited for is one such time, and so
is a whole pipeline of statements.
"""

import socket
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

import psycopg

HERE = "127.0.0.1"

CHUNK = 65_536


class Wire(socketserver.ThreadingTCPServer):
    """Listens on a port of this machine, and connects each client to PostgreSQL by a connection of its own.

    Args:
        host: where PostgreSQL is; a path for its socket in a directory.
        port: its port.
    """

    daemon_threads = True

    def __init__(self, host: str, port: int) -> None:
        super().__init__((HERE, 0), _Client)
        self._there = host, port
        self.asked = 0
        """How often any client has asked something."""

    @property
    def port(self) -> int:
        """The port that it listens on."""
        return int(self.server_address[1])

    def open(self) -> socket.socket:
        """Connect to PostgreSQL; the name of its socket in a directory is that of libpq."""
        host, port = self._there
        if not host.startswith("/"):
            return socket.create_connection(self._there)
        there = socket.socket(socket.AF_UNIX)
        there.connect(f"{host}/.s.PGSQL.{port}")
        return there


class _Client(socketserver.BaseRequestHandler):
    """One client's connection: this thread hears the client, another one the server."""

    request: socket.socket
    server: Wire

    def handle(self) -> None:
        self._answered = True
        with self.server.open() as upstream:
            back = threading.Thread(target=self._pass_back, args=(upstream,), daemon=True)
            back.start()
            while data := _received(self.request):
                self.server.asked += self._answered
                self._answered = False
                upstream.sendall(data)
            upstream.shutdown(socket.SHUT_WR)
            back.join()

    def _pass_back(self, upstream: socket.socket) -> None:
        while data := _received(upstream):
            self._answered = True
            self.request.sendall(data)


def _received(connection: socket.socket) -> bytes:
    """Return what came, nothing at the end; a reset is an end too."""
    try:
        return connection.recv(CHUNK)
    except ConnectionError:
        return b""


@contextmanager
def tapped(database_url: str) -> Iterator[tuple[Wire, str]]:
    """Lay a wire to a database while the context lasts.

    Returns:
        The wire, and the URL that leads through it.

    Raises:
        psycopg.OperationalError: the database does not answer.
    """
    with psycopg.connect(database_url) as connection:
        host, port = connection.info.hostaddr or connection.info.host, connection.info.port
        name, password = connection.info.host, connection.info.password
    with Wire(host, port) as wire:
        threading.Thread(target=wire.serve_forever, daemon=True).start()
        try:
            yield wire, through(database_url, name, password, wire.port)
        finally:
            wire.shutdown()


def through(database_url: str, name: str, password: str, port: int) -> str:
    """Return a URL that differs from another in the address alone.

    Args:
        database_url: the other.
        name: of the server's host; its certificate is still checked against it.
        password: which libpq may have found by the port, in a file.
        port: of this machine.
    """
    parts = urlsplit(database_url)
    kept = [
        (key, value) for key, value in parse_qsl(parts.query) if key not in {"host", "hostaddr", "port", "password"}
    ]
    user = parts.netloc.rpartition("@")[0].partition(":")[0]
    secret = [("password", password)] if password else []
    query = urlencode([*kept, ("host", name), ("hostaddr", HERE), ("port", port), *secret], quote_via=quote)
    # By hand, for `urlunsplit` leaves the slashes out where nothing stands between them and the path.
    return f"{parts.scheme}://{user}{'@' if user else ''}{parts.path}?{query}"
