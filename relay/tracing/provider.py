"""Makes what exports spans: the SDK of OpenTelemetry, set up by its standard OTEL_* variables.

Guarantees: a collector that is away or slow delays no message, and no stop by more than a moment.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

from relay import __version__
from relay.tracing.spans import Spans

GOODBYE_SECONDS = 1.5
"""What a stopping relay grants the collector to take the last spans."""


@contextmanager
def exporting(relay: str) -> Iterator[Spans]:
    """Export spans while the context lasts.

    Args:
        relay: the name of this relay, `service.instance.id`.
    """
    # What OTEL_RESOURCE_ATTRIBUTES and OTEL_SERVICE_NAME say wins over the name of the service.
    ours = Resource({"service.name": "outbox-relay", "service.version": __version__, "service.instance.id": relay})
    provider = TracerProvider(resource=ours.merge(_said_by_environment()), shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    try:
        yield Spans(provider.get_tracer("outbox-relay", __version__))
    finally:
        goodbye = threading.Thread(target=provider.shutdown, daemon=True)
        goodbye.start()
        goodbye.join(GOODBYE_SECONDS)


def _said_by_environment() -> Resource:
    """The standard variables, without the SDK's own name for a service that has none."""
    said = Resource.create()
    unnamed = str(said.attributes.get("service.name", "")).startswith("unknown_service")
    return Resource(
        {name: value for name, value in said.attributes.items() if not (unnamed and name == "service.name")}
    )
