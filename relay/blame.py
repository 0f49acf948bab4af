"""Whose fault a failed delivery is: Kafka's error codes, each with its verdict. Pure: tables.

A *message* at fault is one that Kafka will not take as it is; that is only believed of a message that was alone in its
batch, for Kafka judges batches. A *destination* at fault is a topic that cannot be written to now, whatever is sent:
it is tried again every few seconds. A *broker* at fault says nothing of either: the same page is sent again.

Sources: librdkafka's `rdkafka.h` (`rd_kafka_resp_err_t`) for its own codes, which are negative and begin with an
underscore, and `org.apache.kafka.common.protocol.Errors` for the broker's. A test holds the tables against all codes
that the installed client knows.
"""

from collections.abc import Mapping
from enum import Enum

from confluent_kafka import KafkaError


class Fault(Enum):
    """Who is at fault, and hence who waits."""

    MESSAGE = "message"
    DESTINATION = "destination"
    BROKER = "broker"


MESSAGE_AT_FAULT = frozenset(
    {
        KafkaError.MSG_SIZE_TOO_LARGE,
        KafkaError.RECORD_LIST_TOO_LARGE,  # larger than a segment of its topic
        KafkaError.INVALID_MSG,
        KafkaError.INVALID_MSG_SIZE,
        KafkaError.INVALID_RECORD,  # also a message without a key for a compacted topic
        KafkaError._BAD_MSG,
        KafkaError._BAD_COMPRESSION,
        KafkaError._INVALID_ARG,
        KafkaError._INVALID_TYPE,
        KafkaError._KEY_SERIALIZATION,
        KafkaError._VALUE_SERIALIZATION,
        # Of the innocent in the batch of an invalid record: suspects as well, until each is sent alone.
        KafkaError._INVALID_DIFFERENT_RECORD,
    }
)

DESTINATION_AT_FAULT = frozenset(
    {
        KafkaError._UNKNOWN_TOPIC,
        KafkaError._UNKNOWN_PARTITION,
        KafkaError._ISR_INSUFF,
        KafkaError.UNKNOWN_TOPIC_OR_PART,
        KafkaError.UNKNOWN_TOPIC_ID,
        KafkaError.INCONSISTENT_TOPIC_ID,
        KafkaError.TOPIC_EXCEPTION,
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
        KafkaError.LEADER_NOT_AVAILABLE,
        KafkaError.NOT_LEADER_FOR_PARTITION,
        KafkaError.REPLICA_NOT_AVAILABLE,
        KafkaError.NOT_ENOUGH_REPLICAS,
        KafkaError.NOT_ENOUGH_REPLICAS_AFTER_APPEND,
        KafkaError.FENCED_LEADER_EPOCH,
        KafkaError.UNKNOWN_LEADER_EPOCH,
        KafkaError.KAFKA_STORAGE_ERROR,  # a disk of one partition's leader
        KafkaError.LOG_DIR_NOT_FOUND,
        KafkaError.UNSUPPORTED_FOR_MESSAGE_FORMAT,
        KafkaError.INVALID_TIMESTAMP,  # which is the time of publishing, by the relay's clock: no message's own
        KafkaError.UNSUPPORTED_COMPRESSION_TYPE,
        KafkaError.INVALID_REQUIRED_ACKS,
        # When the broker was to make the topic itself, and may not.
        KafkaError.INVALID_PARTITIONS,
        KafkaError.INVALID_REPLICATION_FACTOR,
        KafkaError.INVALID_CONFIG,
        KafkaError.POLICY_VIOLATION,
        # A bug in the broker, met by one request. Of the broker, it would be sent again for ever and all would wait.
        KafkaError.UNKNOWN,
        KafkaError.INVALID_REQUEST,
    }
)

BROKER_AT_FAULT = frozenset(
    {
        # librdkafka's own: the message was never judged.
        KafkaError._ALL_BROKERS_DOWN,
        KafkaError._TRANSPORT,
        KafkaError._RESOLVE,
        KafkaError._FAIL,
        KafkaError._CRIT_SYS_RESOURCE,
        KafkaError._FS,
        KafkaError._INTR,
        KafkaError._MSG_TIMED_OUT,
        KafkaError._TIMED_OUT,
        KafkaError._TIMED_OUT_QUEUE,
        KafkaError._PURGE_QUEUE,
        KafkaError._PURGE_INFLIGHT,
        KafkaError._QUEUE_FULL,
        KafkaError._FATAL,
        KafkaError._FENCED,
        KafkaError._GAPLESS_GUARANTEE,
        KafkaError._INCONSISTENT,
        KafkaError._SSL,
        KafkaError._AUTHENTICATION,
        KafkaError._UNSUPPORTED_FEATURE,
        KafkaError._DESTROY,
        KafkaError._DESTROY_BROKER,
        KafkaError._NODE_UPDATE,
        KafkaError._UNKNOWN_BROKER,
        KafkaError._OUTDATED,
        KafkaError._PARTIAL,
        KafkaError._UNDERFLOW,
        KafkaError._STATE,
        KafkaError._WAIT_COORD,
        KafkaError._WAIT_CACHE,
        KafkaError._IN_PROGRESS,
        KafkaError._PREV_IN_PROGRESS,
        KafkaError._RETRY,
        # The broker's, where it speaks of itself.
        KafkaError.REQUEST_TIMED_OUT,
        KafkaError.BROKER_NOT_AVAILABLE,
        KafkaError.NETWORK_EXCEPTION,
        KafkaError.NOT_CONTROLLER,
        KafkaError.STALE_CTRL_EPOCH,
        KafkaError.STALE_BROKER_EPOCH,
        KafkaError.LISTENER_NOT_FOUND,
        KafkaError.THROTTLING_QUOTA_EXCEEDED,
        KafkaError.UNSUPPORTED_VERSION,
        KafkaError.REBOOTSTRAP_REQUIRED,
        KafkaError.OPERATION_NOT_ATTEMPTED,
        # Of the producer's session, which a new producer begins anew.
        KafkaError.OUT_OF_ORDER_SEQUENCE_NUMBER,
        KafkaError.DUPLICATE_SEQUENCE_NUMBER,
        KafkaError.UNKNOWN_PRODUCER_ID,
        KafkaError.INVALID_PRODUCER_EPOCH,
        KafkaError.INVALID_PRODUCER_ID_MAPPING,
        KafkaError.PRODUCER_FENCED,
        # Of who the relay is: the same for all it sends.
        KafkaError.CLUSTER_AUTHORIZATION_FAILED,
        KafkaError.SASL_AUTHENTICATION_FAILED,
        KafkaError.UNSUPPORTED_SASL_MECHANISM,
        KafkaError.ILLEGAL_SASL_STATE,
        KafkaError.SECURITY_DISABLED,
        KafkaError.DELEGATION_TOKEN_AUTH_DISABLED,
        KafkaError.DELEGATION_TOKEN_AUTHORIZATION_FAILED,
        KafkaError.DELEGATION_TOKEN_EXPIRED,
        KafkaError.DELEGATION_TOKEN_NOT_FOUND,
        KafkaError.PRINCIPAL_DESERIALIZATION_FAILURE,
    }
)

MENDS: Mapping[int, str] = {
    KafkaError._UNKNOWN_TOPIC: "make it (relay topics --create), or mend its name under [topics]",
    KafkaError.UNKNOWN_TOPIC_OR_PART: "make it (relay topics --create), or mend its name under [topics]",
    KafkaError.TOPIC_AUTHORIZATION_FAILED: "grant the relay's principal Write and Describe on it",
    KafkaError.MSG_SIZE_TOO_LARGE: "raise the topic's max.message.bytes",
    KafkaError.RECORD_LIST_TOO_LARGE: "raise the topic's segment.bytes",
    KafkaError.INVALID_RECORD: "a compacted topic takes no message without a key; else see the broker's log",
    KafkaError.INVALID_TIMESTAMP: "set the relay's clock, or the broker's; else raise message.timestamp.after.max.ms",
    KafkaError.NOT_ENOUGH_REPLICAS: "start the brokers that are down, or lower the topic's min.insync.replicas",
    KafkaError.NOT_ENOUGH_REPLICAS_AFTER_APPEND: "start the brokers that are down, or lower min.insync.replicas",
    KafkaError.LEADER_NOT_AVAILABLE: "start the brokers that hold its replicas",
    KafkaError.KAFKA_STORAGE_ERROR: "see to the disk of the partition's leader",
}
"""What an operator can do about an error, where it is one thing."""


def fault_of(error: KafkaError) -> Fault:
    """Say whose fault an error is.

    A code that is in no table is one that no producer should meet, or that is newer than the tables: the destination's,
    for then nothing is counted against a message, nothing is given up, and the fewest others wait.
    """
    code = error.code()
    if code in BROKER_AT_FAULT:
        return Fault.BROKER
    return Fault.MESSAGE if code in MESSAGE_AT_FAULT else Fault.DESTINATION


def blames_broker(error: KafkaError) -> bool:
    """Whether an error says nothing of the message or its topic: then the same messages are simply sent again."""
    return error.code() in BROKER_AT_FAULT


def mend(error: KafkaError) -> str:
    """What to do about an error, as the end of a sentence; empty where no single thing is known."""
    found = MENDS.get(error.code())
    return f"; {found}" if found else ""
