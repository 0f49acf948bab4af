"""Whether Kafka answers, and if not, why not: one look at its metadata."""

import time
from typing import Any

from confluent_kafka import KafkaException
from confluent_kafka.admin import (  # type: ignore[attr-defined] # public, but not re-exported for type checkers
    AdminClient,
    ClusterMetadata,
)

from relay.configuration.kafka_properties import unfit
from relay.configuration.settings import Settings
from relay.errors import BrokerRefuses, BrokerUnreachable
from relay.publishing.refusal import Complaints, explain

PATIENCE = 5.0
"""Seconds to wait for metadata."""

SLICE = 1.0
"""Seconds until it is looked whether waiting has become pointless."""


class Admin(AdminClient):
    """A client for Kafka's administration that remembers what it heard of its connections."""

    complaints: Complaints


def admin(settings: Settings) -> Admin:
    """Make a client for Kafka's administration.

    Keep it in a variable until its futures are done: collected early, they fail.

    Raises:
        SettingsError: librdkafka refuses the properties.
    """
    complaints = Complaints()
    ours: dict[str, Any] = {"bootstrap.servers": settings.kafka_brokers, "error_cb": complaints.note}
    try:
        client = Admin({"log_level": 2, **settings.kafka, **ours})
    except KafkaException as error:
        raise unfit(error.args[0].str()) from None
    client.complaints = complaints
    return client


def metadata(client: Admin, settings: Settings) -> ClusterMetadata:
    """Ask for brokers and topics.

    Raises:
        BrokerUnreachable: none answers within 5 s.
        BrokerRefuses: one does, and either side does not accept who the other is.
    """
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            return client.list_topics(timeout=SLICE)
        except KafkaException as error:
            # What was heard waits in a queue until it is asked for.
            client.poll(0)
            if client.complaints.refusal or time.monotonic() > deadline:
                raise _unanswered(client, settings, error) from None


def _unanswered(client: Admin, settings: Settings, error: KafkaException) -> BrokerRefuses | BrokerUnreachable:
    heard = client.complaints
    if heard.refusal:
        why = explain(heard.refusal, settings.kafka)
        return BrokerRefuses(f"kafka at {settings.kafka_brokers} and the relay do not accept each other: {why}")
    return BrokerUnreachable(
        f"kafka at {settings.kafka_brokers} does not answer: {heard.other or error.args[0].str()}; "
        "start it, or check KAFKA_BROKERS, the network and the security properties under [kafka]"
    )


def reachable(settings: Settings) -> None:
    """Return when a broker answers.

    Raises:
        BrokerUnreachable, BrokerRefuses: none does, or it turns the relay away.
        SettingsError: librdkafka refuses the properties.
    """
    client = admin(settings)
    metadata(client, settings)
