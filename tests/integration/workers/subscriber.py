"""A real HTTP server as a subscriber has it: it answers as it is told, and keeps what was posted."""

import ssl
import threading
from collections import deque
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self


class Subscriber:
    """`with Subscriber() as one: one.url`; `answers` are those to the next posts; all wait while `go` is not set."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.posts: list[tuple[dict[str, str], bytes]] = []
        self.answers: deque[tuple[int, dict[str, str]]] = deque()
        self.go = threading.Event()
        self.go.set()
        self.endless = False
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                outer.posts.append(({name.lower(): value for name, value in self.headers.items()}, body))
                outer.go.wait(60)
                status, headers = outer.answers.popleft() if outer.answers else (200 if outer.endless else 204, {})
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                if outer.endless:
                    self.end_headers()
                    outer.pour(self.wfile)
                else:
                    self.send_header("content-length", "0")
                    self.end_headers()

            def do_GET(self) -> None:
                outer.posts.append(({"followed": "a redirect"}, b""))

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._scheme = "https" if tls else "http"
        if tls:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))

    def pour(self, out: Any) -> None:
        """Write without end, a little at a time."""
        pause = threading.Event()
        try:
            while not pause.wait(0.05):
                out.write(b"x")
                out.flush()
        except OSError:
            pass

    @property
    def url(self) -> str:
        return f"{self._scheme}://localhost:{self.port}/hook"

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    @property
    def ids(self) -> list[str]:
        return [headers["webhook-id"] for headers, _ in self.posts]

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.go.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
