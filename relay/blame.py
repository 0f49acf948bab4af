"""Whose fault a failed delivery is. Pure: a table.

Sources: librdkafka's rdkafka.h for its own codes (negative, with an underscore), and
org.apache.kafka.common.protocol.Errors for the broker's.
"""

from confluent_kafka import KafkaError

BROKER_AT_FAULT = frozenset(
    {
        # librdkafka's own: the message was never judged.
        KafkaError._ALL_BROKERS_DOWN,
        KafkaError._TRANSPORT,
        KafkaError._RESOLVE,
        KafkaError._MSG_TIMED_OUT,
        KafkaError._TIMED_OUT,
        KafkaError._TIMED_OUT_QUEUE,
        KafkaError._PURGE_QUEUE,
        KafkaError._PURGE_INFLIGHT,
        KafkaError._QUEUE_FULL,
        KafkaError._FATAL,
        KafkaError._GAPLESS_GUARANTEE,
        KafkaError._SSL,
        KafkaError._AUTHENTICATION,
        KafkaError._DESTROY,
        KafkaError._STATE,
        KafkaError._WAIT_COORD,
        KafkaError._RETRY,
        # The broker's, where it speaks of itself or of the producer's session.
        KafkaError.REQUEST_TIMED_OUT,
        KafkaError.BROKER_NOT_AVAILABLE,
        KafkaError.NETWORK_EXCEPTION,
        KafkaError.OUT_OF_ORDER_SEQUENCE_NUMBER,
        KafkaError.DUPLICATE_SEQUENCE_NUMBER,
        KafkaError.UNKNOWN_PRODUCER_ID,
        KafkaError.INVALID_PRODUCER_EPOCH,
        KafkaError.PRODUCER_FENCED,
        KafkaError.CLUSTER_AUTHORIZATION_FAILED,
    }
)


def blames_broker(error: KafkaError) -> bool:
    """Whether an error says nothing of the message or its topic: then the same messages are simply sent again."""
    return error.code() in BROKER_AT_FAULT
