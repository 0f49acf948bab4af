"""One broker of two does not let the relay in, for its users or its certificate were forgotten: others go on."""

from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined]

from relay.local.kafka import Kafka
from relay.local.process import free_port
from tests import services
from tests.faults.world import wait_until, world

PASSWORD = "fjord-7-Granit"

SETTINGS = {
    "RELAY_KAFKA_SECURITY_PROTOCOL": "SASL_PLAINTEXT",
    "RELAY_KAFKA_SASL_MECHANISM": "PLAIN",
    "RELAY_KAFKA_SASL_USERNAME": "relay",
    "RELAY_KAFKA_SASL_PASSWORD": PASSWORD,
}


def asking_who_is_there(kafka_port: int, port: int, controller: str, user: str) -> Mapping[str, str]:
    """A broker's properties: beside the listener of administrators and brokers one for clients, who knows one user."""
    listeners = f"PLAINTEXT://127.0.0.1:{kafka_port},CLIENT://127.0.0.1:{port}{controller}"
    module = "org.apache.kafka.common.security.plain.PlainLoginModule required"
    return {
        "listeners": listeners,
        "advertised.listeners": listeners,
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,CLIENT:SASL_PLAINTEXT",
        "inter.broker.listener.name": "PLAINTEXT",
        "sasl.enabled.mechanisms": "PLAIN",
        "listener.name.client.plain.sasl.jaas.config": f'{module} user_{user}="{PASSWORD}";',
    }


def test_broker_that_does_not_let_the_relay_in_keeps_its_own_topics_and_no_others(
    services_folder: Path, database: str, tmp_path: Path
) -> None:
    port, client_port, controller_port, second_port, second_client_port = (free_port() for _ in range(5))
    controller = f",CONTROLLER://127.0.0.1:{controller_port}"
    folder = services.new_folder(services_folder, "kafka")
    with ExitStack() as running:
        first = running.enter_context(
            Kafka(
                services.new_folder(services_folder, "kafka"),
                port,
                controller_port,
                properties=asking_who_is_there(port, client_port, controller, "relay"),
            )
        )

        def second(user: str) -> Kafka:
            properties = asking_who_is_there(second_port, second_client_port, "", user)
            return Kafka(folder, second_port, properties=properties, joins=first)

        with second("somebody"):
            admin = AdminClient({"bootstrap.servers": first.brokers})
            there = NewTopic("there", num_partitions=4, replica_assignment=[[1]] * 4)
            half = NewTopic("half", num_partitions=4, replica_assignment=[[1], [2], [1], [2]])
            for made in admin.create_topics([there, half]).values():
                made.result(30)
            here = running.enter_context(world(database, first.brokers, "there", tmp_path))
            judge = running.enter_context(here.judged())
            one = here.relay("one", RELAY_MAX_ATTEMPTS="1", **SETTINGS, KAFKA_BROKERS=f"127.0.0.1:{client_port}")
            for number in range(20):
                here.enqueue(1, key=f"locked-{number}", topic="half")
                here.enqueue(1, key=f"locked-{number}")
            judge.arrived(20, 60)
            wait_until(lambda: one.said("topic half cannot be written to"), 60, one.log.read_text)
            for number in range(20):
                here.enqueue(2, key=f"locked-{number}")
            judge.arrived(60)
            assert here.states("half")["sent"] < 20
            assert not one.said("interrupted"), one.log.read_text()
            assert PASSWORD not in one.log.read_text()
        with second("relay"):
            wait_until(lambda: here.states("half") == {"sent": 20}, 60, lambda: f"{here.states('half')}")
            assert not judge.verdict().broken
