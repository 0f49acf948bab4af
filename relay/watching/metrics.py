"""The metrics of one relay: what it did, by the events that it hears, and how the outbox is, as it was measured last.

Guarantees: a scrape reads memory only, so it answers at once while PostgreSQL or Kafka is away; the number of time
series is bounded, whatever names applications give to topics; what was never measured is absent rather than zero.
`docs/metrics.md` has a line for each; names follow the conventions of Prometheus.
"""

import platform
import threading
import time
from collections import Counter as Tally
from collections.abc import Callable, Collection, Iterator
from itertools import accumulate, chain
from operator import itemgetter

import confluent_kafka
from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Info,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
)
from prometheus_client.core import HistogramMetricFamily, Metric
from prometheus_client.registry import Collector
from psycopg import pq

from relay import __version__, events
from relay.watching.backlog import Backlog
from relay.watching.latency import BOUNDS, Latency

PREFIX = "outbox_relay"

TOPICS = 200
"""Topics that have a series of their own; those that are configured come first."""

OTHER = "(other)"
"""All further topics. No topic can be called so."""

# A series more for each counter, to say since when it counts: process_start_time_seconds says that for all.
disable_created_metrics()  # type: ignore[no-untyped-call]

_topic = itemgetter(3)


class Metrics:
    """Hears events and counts.

    Args:
        topics: the logical topics that are configured.
        chores: the names of what is done beside relaying.
        backlog: says how the outbox was when it was measured last; None while it never was.
        offset: by how many seconds the database's clock is ahead of this machine's.
        gauges: what is asked for when somebody scrapes: name, meaning, and how to know.
    """

    def __init__(
        self,
        topics: Collection[str],
        chores: Collection[str],
        backlog: Callable[[], Backlog | None],
        offset: Callable[[], float],
        gauges: Collection[tuple[str, str, Callable[[], float]]],
    ) -> None:
        self.registry = CollectorRegistry(auto_describe=True)
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        self._topics = set(topics)
        self._offset = offset
        self._counts = _Counts(self.registry, chores)
        self._unrecorded = Unrecorded()
        self._latency = Latency()
        self._lock = threading.Lock()
        self._queued: Callable[[], int] = lambda: 0
        own = [
            (
                "unrecorded_messages",
                "Messages that Kafka has and no checkpoint covers yet.",
                lambda: self._unrecorded.messages,
            ),
            (
                "checkpoint_lag_seconds",
                "Since when the oldest of those is unrecorded.",
                lambda: self._unrecorded.seconds,
            ),
            ("producer_queue_messages", "Messages with Kafka's client, unacknowledged.", lambda: float(self._queued())),
        ]
        for name, meaning, ask in [*own, *gauges]:
            Gauge(f"{PREFIX}_{name}", meaning, registry=self.registry).set_function(ask)
        self.registry.register(_Measured(backlog))
        self.registry.register(_LatencyCollector(self._latency, self._lock))

    def hear(self, event: events.Event) -> None:
        """Count what happened. Called on the hot path, once a page."""
        counts = self._counts
        match event:
            case events.Published(rows=rows):
                self._published(Tally(map(_topic, chain.from_iterable(rows))))
                with self._lock:
                    self._latency.observe(rows, time.time() + self._offset())
                self._unrecorded.sent(event.messages)
            case events.Checkpointed(messages=messages):
                counts.checkpoints.inc()
                self._unrecorded.recorded(messages)
            case events.HeldPublished(rows=rows):
                self._published(Tally(map(_topic, rows)))
                counts.held_published.inc(len(rows))
            case events.MessagesHeld(holds=holds):
                counts.held.inc(len(holds))
                for hold in holds:
                    if hold.failure is not None:
                        counts.failures.labels(hold.failure.fault.value, hold.failure.code).inc()
            case events.BrokerSilent(failure=failure):
                counts.failures.labels(failure.fault.value, failure.code).inc()
            case _:
                self._hear_of_the_rest(event)

    def _published(self, tally: "Tally[str]") -> None:
        for topic, number in tally.items():
            if topic not in self._topics and len(self._topics) < TOPICS:
                self._topics.add(topic)
            self._counts.published.labels(topic if topic in self._topics else OTHER).inc(number)

    def _hear_of_the_rest(self, event: events.Event) -> None:
        counts = self._counts
        match event:
            case events.Started(queued=queued):
                self._queued = queued
                self._unrecorded.forget()
            case events.Interrupted():
                counts.interruptions.inc()
                counts.shards.set(0)
                self._unrecorded.forget()
            case events.LeasesChanged(taken=taken, given_up=given_up, held=held):
                counts.shards.set(len(held))
                counts.lease_changes.labels("taken").inc(len(taken))
                counts.lease_changes.labels("given_up").inc(len(given_up))
            case events.TopicAway(hold=hold):
                counts.away(hold.row[3])
            case events.TopicBack(topic=topic):
                counts.back(topic)
            case events.SlotEmptied(bytes=size):
                counts.emptied.inc()
                counts.emptied_bytes.inc(size)
            case events.ChoreFailed(chore=chore):
                counts.chores_failed.labels(chore).inc()
            case events.HungRelayEnded():
                counts.hung.inc()
            case events.LoopStuck():
                counts.stuck.inc()


class Unrecorded:
    """What was published and not recorded yet: a crash would repeat it."""

    def __init__(self) -> None:
        self.messages = 0
        self._since: float | None = None

    @property
    def seconds(self) -> float:
        """For how long the oldest of it has not been."""
        since = self._since
        return 0.0 if since is None else time.monotonic() - since

    def sent(self, messages: int) -> None:
        """Take note of messages that were acknowledged."""
        self.messages += messages
        self._since = self._since or time.monotonic()

    def recorded(self, messages: int) -> None:
        """Take note of a checkpoint; those that were set aside are counted with it and were never sent."""
        self.messages = max(0, self.messages - messages)
        if not self.messages:
            self._since = None

    def forget(self) -> None:
        """Begin anew: what was unrecorded is read, and sent, once more."""
        self.messages, self._since = 0, None


class _Counts:
    """The counters of what happened, by their names."""

    def __init__(self, registry: CollectorRegistry, chores: Collection[str]) -> None:
        def counter(name: str, meaning: str, *labels: str) -> Counter:
            return Counter(f"{PREFIX}_{name}", meaning, labels, registry=registry)

        version = {
            "version": __version__,
            "python": platform.python_version(),
            "librdkafka": confluent_kafka.libversion()[0],
            "libpq": str(pq.version()),
        }
        Info(f"{PREFIX}_build", "What this relay is made of.", registry=registry).info(version)
        self.published = counter("published_messages", "Messages that Kafka acknowledged.", "topic")
        self.held_published = counter("held_published_messages", "Those of them that had been held.")
        self.held = counter("held_messages", "Messages that were set aside, or failed once more.")
        self.failures = counter("failures", "Errors of Kafka, by whose fault and by their name.", "fault", "code")
        self.checkpoints = counter("checkpoints", "Commits that recorded progress.")
        self.interruptions = counter("interruptions", "Fresh starts after a lost session or lease.")
        self.shards = Gauge(f"{PREFIX}_shards", "Shards that this relay leases.", registry=registry)
        self.lease_changes = counter("lease_changes", "Shards taken and given up.", "change")
        self.emptied = counter("slots_emptied", "Slots whose disk space was given back.")
        self.emptied_bytes = counter("emptied_bytes", "Disk space that was given back.")
        self.chores_failed = counter("chore_failures", "Failures of what is done beside relaying.", "chore")
        self.hung = counter("hung_relays_ended", "Other relays that hung and were ended by this one.")
        self.stuck = counter("loop_stuck", "Times that the loop did not come round.")
        self._away = Gauge(f"{PREFIX}_topics_away", "Topics that cannot be written to.", registry=registry)
        self._topics_away: set[str] = set()
        for change in ("taken", "given_up"):
            self.lease_changes.labels(change)
        # A series that begins with its first failure has not increased since, and no alert would see it.
        for chore in chores:
            self.chores_failed.labels(chore)

    def away(self, topic: str) -> None:
        """Take note of a topic that cannot be written to."""
        self._topics_away.add(topic)
        self._away.set(len(self._topics_away))

    def back(self, topic: str) -> None:
        """Take note of a topic that can be written to again."""
        self._topics_away.discard(topic)
        self._away.set(len(self._topics_away))


class _LatencyCollector(Collector):
    """Gives the histogram out."""

    def __init__(self, latency: Latency, lock: threading.Lock) -> None:
        self._latency = latency
        self._lock = lock

    def collect(self) -> Iterator[Metric]:
        with self._lock:
            counts, total = list(accumulate(self._latency.counts)), self._latency.sum
        family = HistogramMetricFamily(
            f"{PREFIX}_latency_seconds", "From created_at to Kafka's acknowledgement, of messages that were never held."
        )
        buckets = [(str(float(bound)), float(number)) for bound, number in zip(BOUNDS, counts, strict=False)]
        family.add_metric([], [*buckets, ("+Inf", float(counts[-1]))], total)
        yield family


class _Measured(Collector):
    """Gives out what was measured last."""

    def __init__(self, backlog: Callable[[], Backlog | None]) -> None:
        self._backlog = backlog

    def describe(self) -> Iterator[Metric]:
        yield from Backlog.families(None)

    def collect(self) -> Iterator[Metric]:
        yield from Backlog.families(self._backlog())
