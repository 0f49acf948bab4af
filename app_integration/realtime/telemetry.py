"""What one server counts and shows: who is connected, what is asked, told and refused, and how far behind Kafka it is.

Law: it counts what others tell it and knows nobody; labels come from lists in the code, never from a client, for each
new one is a series that Prometheus keeps.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import prometheus_client as prometheus
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector


class Telemetry:
    """The counters of one server.

    Args:
        registry: where they are.
    """

    def __init__(self, registry: prometheus.CollectorRegistry) -> None:
        self.requests = prometheus.Counter(
            "realtime_requests", "Events of clients that were answered, by name.", ["event"], registry=registry
        )
        self.refused = prometheus.Counter(
            "realtime_refused",
            "Events and connections that were refused, by the error's code.",
            ["reason"],
            registry=registry,
        )
        self.sent = prometheus.Counter(
            "realtime_sent", "Packets that were queued for clients, by event.", ["event"], registry=registry
        )
        self.records = prometheus.Counter(
            "realtime_records",
            "Records of the topic, by kind and by whether they were told or passed over.",
            ["kind", "outcome"],
            registry=registry,
        )
        self.dropped = prometheus.Counter(
            "realtime_slow_clients", "Clients that were let go, for too much waited for them.", registry=registry
        )
        self.pruned = prometheus.Counter(
            "realtime_pruned", "Entries of chats and feeds that were old enough to go.", registry=registry
        )


@dataclass(frozen=True, slots=True)
class Standing(Collector):
    """What is so at this moment, asked when Prometheus asks.

    Args:
        clients: how many connections there are.
        rooms: how many rooms have somebody of this server in them.
        lag: of each partition, how many records have not been read yet, as far as the last fetch knows.
        kafka_away: whether Kafka does not answer.
        database_away: whether the database has not heard of this server lately.
    """

    clients: Callable[[], int]
    rooms: Callable[[], int]
    lag: Callable[[], Mapping[int, int]]
    kafka_away: Callable[[], bool]
    database_away: Callable[[], bool]

    def collect(self) -> Iterable[GaugeMetricFamily]:
        """Give the gauges."""
        yield GaugeMetricFamily("realtime_clients", "Connections.", self.clients())
        yield GaugeMetricFamily("realtime_rooms", "Rooms with a connection of this server in them.", self.rooms())
        yield GaugeMetricFamily("realtime_kafka_away", "1 while Kafka does not answer.", float(self.kafka_away()))
        yield GaugeMetricFamily(
            "realtime_database_away", "1 while the database does not hear of this server.", float(self.database_away())
        )
        lag = GaugeMetricFamily("realtime_lag", "Records of the topic that were not read yet.", labels=["partition"])
        for partition, behind in self.lag().items():
            lag.add_metric([str(partition)], behind)
        yield lag
