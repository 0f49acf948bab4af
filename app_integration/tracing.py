"""Lets a message carry the trace of the request that enqueues it: its W3C `traceparent`, as a header.

Guarantees: without OpenTelemetry in the application, or outside a span, nothing happens and nothing is imported: who
has a span open has imported OpenTelemetry already. A `traceparent` that the application gives itself stands.
"""

import sys
from collections.abc import Mapping
from typing import Any

PARENT = "traceparent"


def with_trace(headers: Mapping[str, str] | None) -> Mapping[str, str] | None:
    """Add the context of the span that is active, if one is, to the headers of a message.

    Args:
        headers: the application's own, unchecked.
    """
    trace = sys.modules.get("opentelemetry.trace")
    if trace is None or not isinstance(headers, Mapping | None) or PARENT in (headers or ()):
        return headers
    context: Any = trace.get_current_span().get_span_context()
    if not context.is_valid:
        return headers
    return {**(headers or {}), **_written(context)}


def _written(context: Any) -> dict[str, str]:
    """Write a span's context as W3C Trace Context, version 00, has it."""
    written = {PARENT: f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"}
    state = context.trace_state.to_header()
    return {**written, "tracestate": state} if state else written
