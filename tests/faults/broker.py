"""A broker that refuses what a test tells it to: librdkafka's own, for errors that a real one gives too rarely.

It proves nothing about delivery in general; here it answers one question, what our producers make of an error.
"""

import ctypes
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import confluent_kafka
from confluent_kafka import Consumer, TopicPartition

TOPIC = "refused"
PRODUCE = 0
"""The API key of Produce requests in Kafka's protocol."""

NOT_LEADER, MESSAGE_TOO_LARGE, NOT_ENOUGH_REPLICAS, UNKNOWN_PRODUCER = 6, 10, 19, 59
"""Error codes of org.apache.kafka.common.protocol.Errors."""


def _library() -> ctypes.CDLL:
    """The librdkafka that the Python client brings; the signatures are those of its rdkafka_mock.h."""
    folder = Path(confluent_kafka.__file__).parent.parent / "confluent_kafka.libs"
    library = ctypes.CDLL(str(next(folder.glob("librdkafka*"))))
    pointer = ctypes.c_void_p
    library.rd_kafka_conf_new.restype = pointer
    library.rd_kafka_new.restype = pointer
    library.rd_kafka_new.argtypes = [ctypes.c_int, pointer, ctypes.c_char_p, ctypes.c_size_t]
    library.rd_kafka_destroy.argtypes = [pointer]
    library.rd_kafka_mock_cluster_new.restype = pointer
    library.rd_kafka_mock_cluster_new.argtypes = [pointer, ctypes.c_int]
    library.rd_kafka_mock_cluster_destroy.argtypes = [pointer]
    library.rd_kafka_mock_cluster_bootstraps.restype = ctypes.c_char_p
    library.rd_kafka_mock_cluster_bootstraps.argtypes = [pointer]
    library.rd_kafka_mock_topic_create.argtypes = [pointer, ctypes.c_char_p, ctypes.c_int, ctypes.c_int]
    library.rd_kafka_mock_push_request_errors_array.argtypes = [
        pointer,
        ctypes.c_int16,
        ctypes.c_size_t,
        ctypes.POINTER(ctypes.c_int),
    ]
    library.rd_kafka_mock_broker_set_rtt.argtypes = [pointer, ctypes.c_int32, ctypes.c_int]
    return library


class RefusingBroker:
    """One broker with one topic of one partition."""

    def __init__(self, library: ctypes.CDLL, cluster: ctypes.c_void_p) -> None:
        self._library, self._cluster = library, cluster
        self.brokers = library.rd_kafka_mock_cluster_bootstraps(cluster).decode()
        library.rd_kafka_mock_topic_create(cluster, TOPIC.encode(), 1, 1)

    def refuse(self, *codes: int) -> None:
        """Answer the next Produce requests with these errors, slowly enough for several to be on the wire at once."""
        self._library.rd_kafka_mock_broker_set_rtt(self._cluster, -1, 200)
        array = (ctypes.c_int * len(codes))(*codes)
        self._library.rd_kafka_mock_push_request_errors_array(self._cluster, PRODUCE, len(codes), array)

    def written(self, count: int, seconds: float = 5) -> list[bytes]:
        """Read the partition until `count` different values have come, or time is up."""
        self._library.rd_kafka_mock_broker_set_rtt(self._cluster, -1, 0)
        consumer = Consumer({"bootstrap.servers": self.brokers, "group.id": "test"})
        consumer.assign([TopicPartition(TOPIC, 0, 0)])
        values: list[bytes] = []
        deadline = time.monotonic() + seconds
        while len(set(values)) < count and time.monotonic() < deadline:
            message = consumer.poll(0.2)
            if message is not None and message.error() is None:
                value = message.value()
                values.append(value if isinstance(value, bytes) else b"")
        consumer.close()
        return values


@contextmanager
def refusing_broker() -> Iterator[RefusingBroker]:
    """Run such a broker while the block lasts."""
    library = _library()
    client = library.rd_kafka_new(0, library.rd_kafka_conf_new(), ctypes.create_string_buffer(512), 512)
    cluster = library.rd_kafka_mock_cluster_new(client, 1)
    try:
        yield RefusingBroker(library, cluster)
    finally:
        library.rd_kafka_mock_cluster_destroy(cluster)
        library.rd_kafka_destroy(client)
