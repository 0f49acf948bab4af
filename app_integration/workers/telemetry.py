"""Turns what the loop tells into log lines and metrics: a line says what happened and what follows for the operator."""

import logging
from collections import Counter as Counting
from functools import singledispatchmethod

import prometheus_client as prometheus

from app_integration.workers.events import Event, Handled, Pruned, Standing, Waiting, WentOn
from app_integration.workers.handling import Outcome, Result

log = logging.getLogger("app_integration.workers")

QUICKEST, FACTOR, BUCKETS = 0.001, 3, 11
"""The histogram's bounds: from a millisecond to a minute."""


def configure() -> None:
    """Send log lines to standard error, a line each, with time and level."""
    logging.basicConfig(format="%(asctime)s %(levelname)-7s %(message)s", level=logging.INFO)


class Telemetry:
    """The ears of one worker.

    Args:
        name: the worker's.
        registry: where its metrics are.
    """

    def __init__(self, name: str, registry: prometheus.CollectorRegistry) -> None:
        self._name = name
        self._messages = prometheus.Counter(
            "worker_messages", "Messages, by what became of them.", ["consumer", "outcome"], registry=registry
        )
        self._seconds = prometheus.Histogram(
            "worker_handle_seconds",
            "Time that a batch of messages took, with its commit.",
            ["consumer"],
            buckets=[QUICKEST * FACTOR**step for step in range(BUCKETS)],
            registry=registry,
        )
        self._lag = prometheus.Gauge(
            "worker_lag", "Messages not handled yet.", ["consumer", "topic", "partition"], registry=registry
        )
        self._held = prometheus.Gauge(
            "worker_held", "Held messages of all instances: retrying or dead.", ["consumer", "state"], registry=registry
        )
        self._waiting = prometheus.Gauge(
            "worker_waiting", "1 while something is away that every message needs.", ["consumer"], registry=registry
        )
        for outcome in Outcome:
            self._messages.labels(name, outcome)
        self._waiting.labels(name).set(0)

    @singledispatchmethod
    def tell(self, event: Event) -> None:
        """Log and count an event."""
        raise TypeError(f"{event!r} is no event")

    @tell.register
    def _(self, event: Handled) -> None:
        for outcome, count in Counting(outcome for _, outcome, _ in event.results).items():
            self._messages.labels(self._name, outcome).inc(count)
        if event.results:
            self._seconds.labels(self._name).observe(event.seconds)
        for result in event.results:
            self._say(result, retried=event.retried)

    def _say(self, result: Result, *, retried: bool) -> None:
        message, _, failed = result
        who = (self._name, message.id, message.topic, message.partition, message.offset)
        if failed is None:
            if retried:
                log.info("%s: message %s (%s/%d at %d) is handled at last", *who)
        elif failed.seconds is None:
            log.error(
                "%s: message %s (%s/%d at %d) is dead after attempt %d: %s; python -m app_integration worker replay %s "
                "--id %s handles it again",
                *(*who, failed.attempts, failed.error, self._name, message.id),
            )
        else:
            log.warning(
                "%s: message %s (%s/%d at %d) failed, attempt %d, next in %.0f s: %s",
                *(*who, failed.attempts, failed.seconds, failed.error),
            )

    @tell.register
    def _(self, event: Waiting) -> None:
        self._waiting.labels(self._name).set(1)
        log.warning(
            "%s: waits, tries again in %.1f s (attempt %d), nothing is lost and nothing counted: %s",
            *(self._name, event.seconds, event.attempt, event.reason),
        )

    @tell.register
    def _(self, event: WentOn) -> None:
        self._waiting.labels(self._name).set(0)
        log.info("%s: goes on after %.1f s", self._name, event.after)

    @tell.register
    def _(self, event: Standing) -> None:
        self._lag.clear()
        for (topic, partition), behind in event.lag.items():
            self._lag.labels(self._name, topic, str(partition)).set(behind)
        self._held.labels(self._name, "retrying").set(event.retrying)
        self._held.labels(self._name, "dead").set(event.dead)

    @tell.register
    def _(self, event: Pruned) -> None:
        log.info("%s: %d rows of the inbox were old enough to go", self._name, event.rows)
