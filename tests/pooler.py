"""A pooler in transaction mode, as small as can be: enough of PostgreSQL's protocol to stand in the way of a relay.

Like PgBouncer it answers the start of a session itself, with a process id of its own, and lends a client one of its
server connections for one transaction at a time. It speaks the simple and the extended protocol, not COPY.
(PostgreSQL documentation, "Frontend/Backend Protocol", "Message Formats".)
"""

import queue
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from psycopg.conninfo import conninfo_to_dict

SSL_REQUEST = 80877103
GSS_REQUEST = 80877104
CONNECTIONS = 2


@contextmanager
def transaction_pooler(database_url: str) -> Iterator[str]:
    """Run a pooler before a database and yield the URL to reach the database through it."""
    parts = conninfo_to_dict(database_url)
    pooler = _Pooler(str(parts["host"]), int(str(parts["port"])), str(parts["user"]), str(parts["dbname"]))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=pooler.accept, args=(listener,))
        thread.start()
        try:
            yield f"postgresql://{parts['user']}@127.0.0.1:{listener.getsockname()[1]}/{parts['dbname']}"
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()
            pooler.close()


class _Pooler:
    def __init__(self, host: str, port: int, user: str, database: str) -> None:
        self._servers = [_Server(host, port, user, database) for _ in range(CONNECTIONS)]
        self._idle: queue.Queue[_Server] = queue.Queue()
        for server in self._servers:
            self._idle.put(server)
        self._clients: list[tuple[socket.socket, threading.Thread]] = []

    def accept(self, listener: socket.socket) -> None:
        with suppress(OSError):
            while True:
                client, _ = listener.accept()
                thread = threading.Thread(target=self._serve, args=(client,))
                self._clients.append((client, thread))
                thread.start()

    def close(self) -> None:
        for client, thread in self._clients:
            with suppress(OSError):
                client.shutdown(socket.SHUT_RDWR)
            thread.join()
            client.close()
        for server in self._servers:
            server.socket.close()

    def _serve(self, client: socket.socket) -> None:
        with suppress(ConnectionError):
            while _start_code(client) in (SSL_REQUEST, GSS_REQUEST):
                client.sendall(b"N")
            client.sendall(self._servers[0].greeting)
            while self._transaction(client):
                pass

    def _transaction(self, client: socket.socket) -> bool:
        """Lend a server connection for one transaction; return False when the client has left."""
        kind, message = _message(client)
        if kind == b"X":
            return False
        server = self._idle.get()
        try:
            while not server.ask(kind, message, client):
                kind, message = _message(client)
        finally:
            self._idle.put(server)
        return True


class _Server:
    def __init__(self, host: str, port: int, user: str, database: str) -> None:
        self.socket = socket.create_connection((host, port))
        start = b"\0\3\0\0" + b"".join(
            word.encode() + b"\0" for word in ("user", user, "database", database, "client_encoding", "UTF8", "")
        )
        self.socket.sendall(struct.pack("!i", len(start) + 4) + start)
        self.greeting = b""
        kind = b""
        while kind != b"Z":
            kind, message = _message(self.socket)
            # The process id and the key to cancel with are the pooler's own.
            self.greeting += b"K" + struct.pack("!iii", 12, 4711, 1) if kind == b"K" else message

    def ask(self, kind: bytes, message: bytes, client: socket.socket) -> bool:
        """Pass a message on, and the answer when there is one; return whether the transaction is over."""
        self.socket.sendall(message)
        if kind not in (b"Q", b"S"):
            return False
        while True:
            kind, answer = _message(self.socket)
            client.sendall(answer)
            if kind == b"Z":
                return answer.endswith(b"I")


def _start_code(client: socket.socket) -> int:
    """Read the first message of a session, which has no kind, and return the code that it begins with."""
    (length,) = struct.unpack("!i", _exactly(client, 4))
    (code,) = struct.unpack("!i", _exactly(client, length - 4)[:4])
    return int(code)


def _message(source: socket.socket) -> tuple[bytes, bytes]:
    """Read a message; return its kind and the whole of it."""
    head = _exactly(source, 5)
    return head[:1], head + _exactly(source, struct.unpack("!i", head[1:])[0] - 4)


def _exactly(source: socket.socket, count: int) -> bytes:
    found = b""
    while len(found) < count:
        part = source.recv(count - len(found))
        if not part:
            raise ConnectionError("the other side has left")
        found += part
    return found
