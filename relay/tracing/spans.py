"""Spans of messages under way, and the context that travels on with them.

A message that carries a W3C `traceparent` whose trace is sampled gets a span of kind PRODUCER, a child of the span that
enqueued it, from being handed to Kafka's client to its acknowledgement; the span's own `traceparent` travels on to the
consumer in place of the first. All others pass unchanged. Names and attributes are those of OpenTelemetry's semantic
conventions for messaging and Kafka.

Guarantees: a message that is not traced costs the search for a word in its headers; no more than `MOST` spans are open.
"""

import threading
from collections.abc import Iterable

from opentelemetry.context import Context
from opentelemetry.trace import Span, SpanKind, Status, StatusCode, Tracer, get_current_span, set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from relay import events
from relay.hold import Failure
from relay.message import Row
from relay.publishing.envelope import Envelope, Headers
from relay.publishing.routing import Routes

PARENT, STATE = "traceparent", "tracestate"

MOST = 20_000
"""How many spans may be open; while there are as many, messages pass untraced."""

W3C = TraceContextTextMapPropagator()
"""Whatever OTEL_PROPAGATORS says: it is what the application side writes, and what Kafka's instrumentations read."""


class Spans:
    """The spans of messages that are under way.

    Args:
        tracer: makes them.
    """

    def __init__(self, tracer: Tracer) -> None:
        self._tracer = tracer
        self._open: dict[int, Span] = {}
        self._lock = threading.Lock()

    def around(self, envelope: Envelope, routes: Routes) -> Envelope:
        """Let an envelope begin a span for each traced message, and hand on that span's context."""

        def traced(row: Row) -> Headers:
            headers, own = envelope(row), row[8]
            return headers if own is None or PARENT not in own else self._begin(row, headers, routes)

        return traced

    def _begin(self, row: Row, headers: Headers, routes: Routes) -> Headers:
        parent = W3C.extract({name: value for name, value in headers if isinstance(value, str)})
        if not get_current_span(parent).get_span_context().trace_flags.sampled or len(self._open) >= MOST:
            return headers
        span = self._start(row, parent, routes(row[3]) or row[3])
        with self._lock:
            before, self._open[row[1]] = self._open.pop(row[1], None), span
        if before is not None:
            _fail(before, "sent again")
        onward: dict[str, str] = {}
        W3C.inject(onward, set_span_in_context(span, parent))
        return [(name, value) for name, value in headers if name not in (PARENT, STATE)] + list(onward.items())

    def _start(self, row: Row, parent: Context, topic: str) -> Span:
        shard, seq, id_, _, key, _, payload, *_ = row
        attributes: dict[str, str | int] = {
            "messaging.system": "kafka",
            "messaging.operation.type": "send",
            "messaging.operation.name": "send",
            "messaging.destination.name": topic,
            "messaging.message.id": id_,
            "messaging.message.body.size": len(payload or b""),
            "outbox.shard": shard,
            "outbox.seq": seq,
        }
        if key is not None:
            attributes["messaging.kafka.message.key"] = key
        return self._tracer.start_span(f"send {topic}", parent, SpanKind.PRODUCER, attributes)

    def hear(self, event: events.Event) -> None:
        """End the spans of messages that were acknowledged or set aside."""
        if not self._open:
            return
        match event:
            case events.Published(rows=shards):
                for rows in shards:
                    self._acknowledged(rows)
            case events.HeldPublished(rows=rows):
                self._acknowledged(rows)
            case events.MessagesHeld(holds=holds):
                for hold in holds:
                    self._set_aside(hold.row, hold.failure)
            case events.Interrupted() | events.Stopped():
                with self._lock:
                    left, self._open = self._open, {}
                for span in left.values():
                    _fail(span, "interrupted before Kafka answered")

    def _acknowledged(self, rows: Iterable[Row]) -> None:
        for row in rows:
            if row[8] is not None and (span := self._open.pop(row[1], None)) is not None:
                span.end()

    def _set_aside(self, row: Row, failure: Failure | None) -> None:
        if (span := self._open.pop(row[1], None)) is not None:
            _fail(span, failure.text if failure else "set aside behind another", failure.code if failure else None)


def _fail(span: Span, why: str, code: str | None = None) -> None:
    if code is not None:
        span.set_attribute("error.type", code)
    span.set_status(Status(StatusCode.ERROR, why))
    span.end()
