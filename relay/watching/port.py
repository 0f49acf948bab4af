"""The HTTP port: a few pages for whoever watches, on threads of their own. Knows nothing of what the pages say.

Guarantees: no client can hurt the relay. Each has `SECONDS` for all of its request and the answer, and `REQUEST_BYTES`;
no more than `CLIENTS` are served at once, and one more ends the oldest of them, so that a crowd of slow ones keeps no
probe out; a page is made anew at most a few times a second, however often it is asked for.
"""

import contextlib
import io
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from http.server import BaseHTTPRequestHandler
from socketserver import TCPServer, ThreadingMixIn
from typing import Any

from relay import __version__
from relay.errors import PortUnavailable

SECONDS, REQUEST_BYTES, CLIENTS = 5.0, 16_384, 32
"""What one client may take, and how many there may be. A scrape takes milliseconds and some hundred bytes."""

FRESH_SECONDS = 0.2
"""For how long a page that was made is given to others who ask."""


class Answer:
    """What a page says.

    Args:
        status: HTTP's code.
        body: in UTF-8.
        content_type: its media type.
    """

    def __init__(self, status: int, body: str | bytes, content_type: str = "text/plain; charset=utf-8") -> None:
        self.status = status
        self.body = body.encode() if isinstance(body, str) else body
        self.content_type = content_type


Page = Callable[[str], Answer]
"""Makes an answer for an `Accept` header."""


class _InTime(io.RawIOBase):
    """Reads from a client, as long as it is neither slow nor talkative: both count for all of its request."""

    def __init__(self, client: socket.socket) -> None:
        self._client = client
        self._until = time.monotonic() + SECONDS
        self._left = REQUEST_BYTES

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        remaining = self._until - time.monotonic()
        if remaining <= 0 or self._left <= 0:
            raise TimeoutError("too slow, or too much")
        self._client.settimeout(remaining)
        got = self._client.recv_into(memoryview(buffer)[: self._left])
        self._left -= got
        return got


class _Handler(BaseHTTPRequestHandler):
    """Answers one request and closes."""

    server: "_Server"
    server_version = f"outbox-relay/{__version__}"
    sys_version = ""

    def setup(self) -> None:
        super().setup()
        self.rfile = io.BufferedReader(_InTime(self.connection))

    def do_GET(self) -> None:
        answer = self.server.answer(self.path.partition("?")[0], self.headers.get("Accept", ""))
        self.connection.settimeout(SECONDS)
        self.send_response(answer.status)
        self.send_header("Content-Type", answer.content_type)
        self.send_header("Content-Length", str(len(answer.body)))
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(answer.body)

    do_HEAD = do_GET  # noqa: N815 - http.server's name

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - http.server's name
        """Say nothing: a probe every few seconds is no news, and what a stranger sends is not ours to print."""


class _Server(ThreadingMixIn, TCPServer):
    allow_reuse_address = True
    daemon_threads = True
    block_on_close = False
    request_queue_size = 64

    def __init__(self, family: socket.AddressFamily, address: Any, pages: Mapping[str, Page]) -> None:
        self.address_family = family
        self._pages = pages
        self._made: dict[tuple[str, str], tuple[float, Answer]] = {}
        self._making = threading.Lock()
        self._clients: dict[socket.socket, None] = {}
        self._clients_lock = threading.Lock()
        super().__init__(address, _Handler)

    def answer(self, path: str, accept: str) -> Answer:
        """Make a page, or give the one that was made just now."""
        page = self._pages.get(path)
        if page is None:
            return Answer(404, f"there are {', '.join(self._pages)}\n")
        with self._making:
            key = (path, "openmetrics" if "application/openmetrics-text" in accept else "")
            at, made = self._made.get(key, (0.0, None))
            if made is None or time.monotonic() - at > FRESH_SECONDS:
                made = page(accept)
                self._made[key] = time.monotonic(), made
            return made

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._clients_lock:
            if len(self._clients) >= CLIENTS:
                # Its thread ends with an error that nobody hears of.
                oldest = next(iter(self._clients))
                del self._clients[oldest]
                with contextlib.suppress(OSError):
                    oldest.shutdown(socket.SHUT_RDWR)
            self._clients[request] = None
        request.settimeout(SECONDS)
        try:
            super().process_request(request, client_address)
        except RuntimeError:  # this machine gives no more threads
            self.shutdown_request(request)

    def shutdown_request(self, request: Any) -> None:
        with self._clients_lock:
            self._clients.pop(request, None)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of a client that went away or was too slow."""


@contextlib.contextmanager
def opened(host: str, port: int, pages: Mapping[str, Page]) -> Iterator[str]:
    """Serve pages while the context lasts.

    Args:
        host: an address or a name of this machine.
        port: 0 for any that is free.
        pages: by path.

    Returns:
        A context with the URL at which they are.

    Raises:
        PortUnavailable: somebody has the port, or it may not be used.
    """
    try:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        server = _Server(family, address, pages)
    except OSError as error:
        raise PortUnavailable(
            f"RELAY_HTTP_PORT {port} on RELAY_HTTP_HOST {host} cannot be had: {error.strerror or error}; choose "
            "another port, or end whoever has it, which may be another relay on this machine"
        ) from None
    thread = threading.Thread(target=server.serve_forever, name="outbox-http", daemon=True)
    thread.start()
    try:
        where, at = str(server.server_address[0]), server.server_address[1]
        yield f"http://[{where}]:{at}" if ":" in where else f"http://{where}:{at}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
