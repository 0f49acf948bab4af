"""A throwaway Kafka broker that can be killed, paused and started again, on the same port with the same data.

`Kafka` is a real one, broker and controller in one process (KRaft). `MockKafka` is librdkafka's imitation,
for a demo where no Java can be had; it proves nothing about delivery. Nothing here knows of the outbox.
"""

import atexit
import signal
import socket
import subprocess
import uuid
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Self

from confluent_kafka import KafkaException, Producer
from confluent_kafka.admin import AdminClient

from relay.local.jars import KafkaUnavailable, cache_folder, find_java, kafka_jars
from relay.local.process import Process, await_answer, free_port

__all__ = ["Kafka", "KafkaUnavailable", "MockKafka"]

PROPERTIES = """\
process.roles=broker,controller
node.id=1
controller.quorum.bootstrap.servers=127.0.0.1:{controller_port}
controller.listener.names=CONTROLLER
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
listeners=PLAINTEXT://{host}:{port},CONTROLLER://127.0.0.1:{controller_port}
advertised.listeners=PLAINTEXT://{host}:{port},CONTROLLER://127.0.0.1:{controller_port}
log.dirs={data}
auto.create.topics.enable=true
num.partitions=4
default.replication.factor=1
offsets.topic.replication.factor=1
offsets.topic.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
broker.session.timeout.ms=2000
broker.heartbeat.interval.ms=250
log.cleaner.dedupe.buffer.size=16777216
"""
"""`server.properties`: one node, and small where only a large cluster needs more (Kafka documentation,
"Broker Configs"). The session timeout is what a killed broker waits for when it comes back: until then the
controller takes the broker for a second one of the same number."""

SECOND_BROKER = """\
process.roles=broker
node.id=2
listeners=PLAINTEXT://127.0.0.1:{port}
advertised.listeners=PLAINTEXT://127.0.0.1:{port}
"""

LOGGING = Path(__file__).with_name("kafka-log.properties")

START_SECONDS = 120.0


class Kafka:
    """A Kafka broker in a folder.

    Args:
        directory: Its folder, made when it is not there; data found in it is used.
        port: The TCP port for clients; None for a free one.
        controller_port: The one on 127.0.0.1 for the controller; None for a free one.
        host: The address of this machine that clients use.
        heap: How much memory Java may use for objects, as in `-Xmx`.
        properties: Values for `server.properties`, above `PROPERTIES`.
        joins: The Kafka whose cluster it joins as a second broker, without a controller; None for a cluster of its own.

    Attributes:
        brokers: What clients connect to, `host:port`; the same for as long as this object lives.
        log: The broker's log file.
        cluster: The identifier of its cluster.
        controller_port: The port of that cluster's controller.

    Raises:
        KafkaUnavailable: Java or Kafka cannot be had.
    """

    def __init__(
        self,
        directory: Path,
        port: int | None = None,
        controller_port: int | None = None,
        *,
        host: str = "127.0.0.1",
        heap: str = "768m",
        properties: Mapping[str, str] = MappingProxyType({}),
        joins: "Kafka | None" = None,
    ) -> None:
        self._directory = directory.resolve()
        self._directory.mkdir(parents=True, exist_ok=True)
        self._data = self._directory / "data"
        self._properties = self._directory / "server.properties"
        self._host = host
        self._port = port or free_port()
        self.controller_port: int = controller_port or (joins.controller_port if joins else free_port())
        self._joins = joins
        self.cluster: str = joins.cluster if joins else uuid.uuid4().hex[:22]
        beside = SECOND_BROKER.format(port=self._port) if joins else ""
        self._more = beside + "".join(f"{name}={value}\n" for name, value in properties.items())
        self._java = [
            find_java(),
            f"-Xmx{heap}",
            "-XX:-UsePerfData",
            f"-Djava.io.tmpdir={self._directory}",
            f"-Dlog4j2.configurationFile={LOGGING}",
            "-cp",
            f"{kafka_jars(cache_folder())}/*",
        ]
        self.brokers = f"{host}:{self._port}"
        self.log = self._directory / "kafka.log"
        self._process: Process | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def pid(self) -> int:
        """The process id of the running broker."""
        return self._running().pid

    def start(self) -> None:
        """Start the broker and return once it serves clients.

        Raises:
            KafkaUnavailable: Its folder cannot be prepared.
            ServiceUnavailable: It does not start; the text has the end of its log.
        """
        self._properties.write_text(
            PROPERTIES.format(host=self._host, port=self._port, controller_port=self.controller_port, data=self._data)
            + self._more
        )
        if not (self._data / "meta.properties").exists():
            self._format()
        self._process = Process(
            [*self._java, "kafka.Kafka", str(self._properties)], self.log, directory=self._directory
        )
        atexit.register(self.close)
        await_answer(self._process, self.log, START_SECONDS, self._answers)

    def stop(self, seconds: float = 20.0) -> None:
        """Shut the broker down in order; `start` goes on where it was.

        Args:
            seconds: after which it is killed. One that is its own controller may wait in vain for that at the end, when
                its logs are closed already.
        """
        if self._process is not None:
            self.resume()
            self._end(signal.SIGTERM, seconds)

    def kill(self) -> None:
        """End the broker with SIGKILL; what it acknowledged is in the operating system's hands and stays."""
        self._end(signal.SIGKILL)

    def pause(self) -> None:
        """Stop the broker with SIGSTOP: connections stay open and get no answer."""
        self._running().send(signal.SIGSTOP)

    def resume(self) -> None:
        """Let a paused broker go on; nothing happens to one that was not paused."""
        self._running().send(signal.SIGCONT)

    def close(self) -> None:
        """End the broker for good: at once, for nobody is to come back to its data."""
        if self._process is not None:
            self.kill()

    def _running(self) -> Process:
        if self._process is None:
            raise KafkaUnavailable("this Kafka is not running: start it first")
        return self._process

    def _end(self, number: signal.Signals, seconds: float = 20.0) -> None:
        atexit.unregister(self.close)
        self._running().end(number, seconds)
        self._process = None

    def _format(self) -> None:
        role = "--no-initial-controllers" if self._joins else "--standalone"
        done = subprocess.run(
            [*self._java, "kafka.tools.StorageTool", "format", role, "-t", self.cluster, "-c", str(self._properties)],
            capture_output=True,
            text=True,
            check=False,
        )  # fmt: skip
        if done.returncode != 0:
            raise KafkaUnavailable(f"kafka.tools.StorageTool ended with {done.returncode}:\n{done.stdout}{done.stderr}")

    def _answers(self) -> bool:
        try:
            # First without librdkafka, which waits ever longer between its attempts.
            socket.create_connection((self._host, self._port), timeout=1).close()
            admin = AdminClient({"bootstrap.servers": self.brokers, "log_level": 0})
            return len(admin.list_topics(timeout=5).brokers) == (2 if self._joins else 1)
        except (OSError, KafkaException):
            return False


class MockKafka:
    """The imitation of a broker inside librdkafka, alive as long as this object is.

    It forgets older messages, knows no transactions and does not recognise repeats.

    Attributes:
        brokers: What clients connect to, `host:port`.
    """

    def __init__(self) -> None:
        self._producer = Producer({"test.mock.num.brokers": 1, "bootstrap.servers": "mock", "log_level": 0})
        [broker] = self._producer.list_topics(timeout=10).brokers.values()
        self.brokers = f"{broker.host}:{broker.port}"
