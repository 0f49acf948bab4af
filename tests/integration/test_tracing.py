"""A request's trace goes on through the outbox: from the span that enqueued, by the relay's, to the consumer's."""

import os
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import psycopg
import pytest
from opentelemetry import trace
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span as Exported
from opentelemetry.proto.trace.v1.trace_pb2 import Status
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ALWAYS_ON

from app_integration import NewMessage, enqueue, enqueue_many
from relay.judge import watching
from tests.command import relay
from tests.conftest import MakeTopic
from tests.faults.world import World, wait_until, world


class Collector:
    """Takes spans as a collector does: OTLP over HTTP, protobuf."""

    def __init__(self) -> None:
        self.spans: list[Exported] = []
        self.services: set[str] = set()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                outer.take(ExportTraceServiceRequest.FromString(body))
                self.send_response(200)
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - http.server's name
                del format, args

        self._server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def take(self, request: ExportTraceServiceRequest) -> None:
        for of in request.resource_spans:
            self.services |= {each.value.string_value for each in of.resource.attributes if each.key == "service.name"}
            for scope in of.scope_spans:
                self.spans += scope.spans

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture
def collector() -> Iterator[Collector]:
    made = Collector()
    yield made
    made.close()


@pytest.fixture
def here(database: str, kafka_brokers: str, make_topic: MakeTopic, tmp_path: Path) -> Iterator[World]:
    with world(database, kafka_brokers, make_topic(config={"max.message.bytes": "2000"}), tmp_path) as made:
        yield made


def settings(collector: Collector) -> dict[str, str]:
    return {"RELAY_TRACING": "true", "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url, "OTEL_BSP_SCHEDULE_DELAY": "100"}


def tracer(*, sampled: bool = True) -> trace.Tracer:
    """An application's own, which exports nowhere."""
    return TracerProvider(sampler=ALWAYS_ON if sampled else ALWAYS_OFF).get_tracer("application")


def attributes(span: Exported) -> dict[str, object]:
    values = {each.key: each.value for each in span.attributes}
    return {name: value.string_value or value.int_value for name, value in values.items()}


def test_the_relays_span_is_a_child_of_the_request_and_parent_of_the_consumer(
    here: World, collector: Collector
) -> None:
    with psycopg.connect(here.database_url) as application, watching(here.brokers, [here.topic]) as watch:
        with tracer().start_as_current_span("POST /orders") as request:
            traced = enqueue(application, here.topic, {"n": 1}, key="a", headers={"mine": "kept"})
            enqueue_many(application, [NewMessage(topic=here.topic, payload={"n": 2}, key="a")])
        with tracer(sampled=False).start_as_current_span("unsampled"):
            enqueue(application, here.topic, {"n": 3}, key="b")
        enqueue(application, here.topic, {"n": 4}, key="c")
        application.commit()
        process = here.relay("one", RELAY_MAX_ATTEMPTS="1", **settings(collector))
        assert watch.wait_for(lambda seen: len(seen) == 4, 30)
        # Only now: it spoils its batch, and what is sent with it is sent once more.
        with tracer().start_as_current_span("refused"):
            enqueue(application, here.topic, os.urandom(5_000), key="d")
        application.commit()
        wait_until(lambda: here.states()["dead"] == 1, 30)
        assert process.terminate() == 0
    sent = [span for span in collector.spans if span.status.code != Status.STATUS_CODE_ERROR]
    failed = [span for span in collector.spans if span.status.code == Status.STATUS_CODE_ERROR]
    context = request.get_span_context()
    assert len(sent) == 2
    for span in sent:
        assert (span.trace_id.hex(), span.parent_span_id.hex()) == (
            f"{context.trace_id:032x}",
            f"{context.span_id:016x}",
        )
        assert (span.name, span.kind) == (f"send {here.topic}", Exported.SPAN_KIND_PRODUCER)
        assert span.end_time_unix_nano > span.start_time_unix_nano
    (first,) = [span for span in sent if attributes(span)["messaging.message.id"] == str(traced)]
    assert attributes(first)["messaging.destination.name"] == here.topic
    assert attributes(first)["messaging.kafka.message.key"] == "a"
    assert collector.services == {"outbox-relay"}
    # Alone at last, after it was suspected with others: each attempt is a span, and all of them failed.
    assert failed
    assert {attributes(span).get("error.type") for span in failed} >= {"MSG_SIZE_TOO_LARGE"}
    onward = {headers["ce_id"]: headers for headers in map(read_headers, consume(here))}
    assert onward[str(traced)]["mine"] == "kept"
    version, trace_id, parent, flags = onward[str(traced)]["traceparent"].split("-")
    assert (version, trace_id, parent) == ("00", f"{context.trace_id:032x}", first.span_id.hex())
    assert int(flags, 16) & trace.TraceFlags.SAMPLED
    untraced = [headers for headers in onward.values() if "traceparent" not in headers]
    unsampled = [headers for headers in onward.values() if not int(headers.get("traceparent", "-1")[-2:], 16) & 1]
    assert (len(untraced), len(unsampled)) == (1, 1)


def consume(here: World) -> list[list[tuple[str, bytes]]]:
    """The headers of the four messages, as a consumer gets them."""
    from confluent_kafka import Consumer  # noqa: PLC0415 - here alone

    consumer = Consumer({"bootstrap.servers": here.brokers, "group.id": here.topic, "auto.offset.reset": "earliest"})
    consumer.subscribe([here.topic])
    found: list[list[tuple[str, bytes]]] = []
    wait_until(lambda: _take(consumer, found) or len(found) == 4, 30)
    consumer.close()
    return found


def _take(consumer: object, found: list[list[tuple[str, bytes]]]) -> bool:
    message = consumer.poll(0.5)  # type: ignore[attr-defined]
    if message is not None and message.error() is None:
        found.append(message.headers())
    return False


def read_headers(headers: list[tuple[str, bytes]]) -> dict[str, str]:
    return {name: value.decode() for name, value in headers}


def test_a_collector_that_is_away_delays_neither_messages_nor_a_stop(here: World) -> None:
    process = here.relay("one", RELAY_TRACING="true", OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:1")
    with psycopg.connect(here.database_url) as application, here.judged() as judge:
        with tracer().start_as_current_span("POST /orders"):
            enqueue(application, here.topic, {"n": 1})
        application.commit()
        judge.arrived(1)
    assert process.terminate(8) == 0
    assert not re.search("Traceback", process.log.read_text())


def test_tracing_without_its_packages_is_a_mistake_with_its_mend(here: World, tmp_path: Path) -> None:
    hidden = tmp_path / "hidden" / "opentelemetry"
    hidden.mkdir(parents=True)
    (hidden / "__init__.py").touch()
    path = f"{hidden.parent}{os.pathsep}{Path(__file__).parents[2]}"
    found = relay(
        "run", DATABASE_URL=here.database_url, KAFKA_BROKERS=here.brokers, RELAY_TRACING="true", PYTHONPATH=path
    )
    assert found.returncode == 2
    assert "pip install 'outbox-relay[otel]'" in found.stderr


def test_a_trace_of_the_applications_own_stands_and_no_span_is_no_header() -> None:
    from app_integration.tracing import with_trace  # noqa: PLC0415 - here alone

    mine = {"traceparent": "00-" + "1" * 32 + "-" + "2" * 16 + "-01"}
    assert with_trace(None) is None
    with tracer().start_as_current_span("x"):
        assert with_trace(mine) is mine
        assert set(with_trace({"a": "b"}) or {}) == {"a", "traceparent"}
