"""Serves the application with uvicorn, in this process, until it is told to stop."""

import socket

import uvicorn

from app_integration.example.api import create_app
from app_integration.example.settings import Settings

STOP_SECONDS = 20
"""For requests that are under way: a purchase may wait for its provider."""


def serve(settings: Settings, host: str, port: int) -> None:
    """Serve until SIGTERM or Ctrl-C; what is under way is finished. Prints the address once it listens."""
    config = uvicorn.Config(
        create_app(settings),
        host=host,
        port=port,
        log_level="info",
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=STOP_SECONDS,
    )
    listening = _listen(host, port)
    port = listening.getsockname()[1]
    path = "/api/kafka-example" if settings.page else "/api/courses"
    print(f"Edu Matrix is at http://{f'[{host}]' if ':' in host else host}:{port}{path}", flush=True)  # noqa: T201
    uvicorn.Server(config).run([listening])


def _listen(host: str, port: int) -> socket.socket:
    """Take the port before anything else is made, so that one which is taken is a mistake of one line."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, port), family=family, backlog=2048)
