"""The port at which Prometheus finds the metrics of a worker or a real-time server: of this machine alone."""

from collections.abc import Iterator
from contextlib import contextmanager

import prometheus_client as prometheus

from relay.errors import SettingsError


@contextmanager
def served(port: int | None, registry: prometheus.CollectorRegistry, variable: str) -> Iterator[None]:
    """Serve metrics at `/metrics` on 127.0.0.1 until the block ends.

    Args:
        port: where; None for nowhere.
        registry: what is served.
        variable: the setting that says so, for the error.

    Raises:
        SettingsError: the port cannot be opened.
    """
    if port is None:
        yield
        return
    try:
        server, thread = prometheus.start_http_server(port, "127.0.0.1", registry)
    except OSError as error:
        raise SettingsError(f"{variable} is {port}, which cannot be opened on 127.0.0.1: {error}") from None
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
