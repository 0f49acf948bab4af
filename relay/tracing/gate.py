"""Whether there is tracing: without the setting nothing of OpenTelemetry is imported, and nothing is called."""

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING

from relay.configuration.settings import Settings
from relay.errors import SettingsError

if TYPE_CHECKING:
    from relay.tracing.spans import Spans

NEEDED = ("opentelemetry.sdk", "opentelemetry.exporter.otlp.proto.http")


@contextmanager
def tracing(settings: Settings) -> "Iterator[Spans | None]":
    """Trace while the context lasts, if the settings say so.

    Raises:
        SettingsError: they do, and OpenTelemetry is not installed.
    """
    if not settings.tracing:
        yield None
        return
    if not all(map(_installed, NEEDED)):
        raise SettingsError("tracing is on and OpenTelemetry is not installed: pip install 'outbox-relay[otel]'")
    from relay.tracing.provider import exporting  # noqa: PLC0415 - only now

    with exporting(settings.name) as spans:
        yield spans


def _installed(name: str) -> bool:
    try:
        return find_spec(name) is not None
    except ModuleNotFoundError:
        return False
