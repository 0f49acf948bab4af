"""Whether Kafka answers: one look at its metadata."""

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from relay.errors import BrokerUnreachable
from relay.kafka_properties import unfit
from relay.settings import Settings

PATIENCE = 5.0
"""Seconds to wait for metadata."""


def admin(settings: Settings) -> AdminClient:
    """Make a client for Kafka's administration.

    Keep it in a variable until its futures are done: collected early, they fail.

    Raises:
        SettingsError: librdkafka refuses the properties.
    """
    try:
        return AdminClient({"log_level": 2, **settings.kafka, "bootstrap.servers": settings.kafka_brokers})
    except KafkaException as error:
        raise unfit(error.args[0].str()) from None


def reachable(settings: Settings) -> None:
    """Return when a broker answers.

    Raises:
        BrokerUnreachable: none does within 5 s.
        SettingsError: librdkafka refuses the properties.
    """
    client = admin(settings)
    try:
        client.list_topics(timeout=PATIENCE)
    except KafkaException as error:
        raise BrokerUnreachable(
            f"kafka at {settings.kafka_brokers} does not answer: {error.args[0].str()}; start it, or mend KAFKA_BROKERS"
        ) from None
