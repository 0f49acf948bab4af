"""How long from just before COMMIT to the consumer, and what an idle relay costs: `python -m bench.latency --rate 200`.

One process writes at a steady rate and consumes on another thread, so both ends read one clock. Beside it stands what
nobody can beat: the time of those commits themselves plus a bare produce → consume at the same rate on the same topic.
"""

import argparse
import statistics
import threading
import time
from collections.abc import Callable

import psutil
from confluent_kafka import Consumer, Producer, TopicPartition

from bench.services import Place, place

INSERT = "insert into outbox.message (topic, key, type, payload) values (%s, %s, 'bench.timed', %s)"


class Arrivals(threading.Thread):
    """Reads a topic from its beginning and notes when each message came, by the number it carries."""

    def __init__(self, brokers: str, topic: str, expected: int) -> None:
        super().__init__(daemon=True)
        self._consumer = Consumer(
            {
                "bootstrap.servers": brokers,
                "group.id": "bench",
                "auto.offset.reset": "earliest",
                "fetch.wait.max.ms": 100,
            }
        )
        self._consumer.assign([TopicPartition(topic, partition, 0) for partition in range(4)])
        self._expected = expected
        self.at: dict[int, float] = {}

    def since(self, departures: list[float]) -> list[float]:
        """Return how long each message took."""
        return [self.at[number] - departure for number, departure in enumerate(departures)]

    def run(self) -> None:
        """Consume until everything expected has come, or nothing has for 10 s."""
        while len(self.at) < self._expected and (message := self._consumer.poll(10)):
            value = message.value()
            if message.error() is None and value is not None:
                self.at.setdefault(int(value), time.perf_counter())
        self._consumer.close()


def steadily(rate: float, count: int, act: Callable[[int], None]) -> None:
    """Call `act` for each number, `rate` times a second."""
    began = time.perf_counter()
    for number in range(count):
        act(number)
        time.sleep(max(0.0, began + (number + 1) / rate - time.perf_counter()))


def through_the_relay(at: Place, rate: float, count: int) -> tuple[list[float], list[float]]:
    """Return the seconds of each message from just before COMMIT to the consumer, and those of the commits."""
    topic = at.topic()
    arrivals = Arrivals(at.brokers, topic, count)
    arrivals.start()
    commits: list[float] = []
    departures: list[float] = []
    with at.connect() as connection:
        connection.autocommit = False

        def commit(number: int) -> None:
            connection.execute(INSERT, (topic, str(number % 1000), str(number).encode()))
            departures.append(time.perf_counter())
            connection.commit()
            commits.append(time.perf_counter() - departures[-1])

        steadily(rate, count, commit)
    arrivals.join()
    return arrivals.since(departures), commits


def kafka_alone(at: Place, rate: float, count: int) -> list[float]:
    """Return the seconds of each message from produce to the consumer, without a relay."""
    topic = at.topic()
    arrivals = Arrivals(at.brokers, topic, count)
    arrivals.start()
    producer = Producer({"bootstrap.servers": at.brokers, "linger.ms": 0, "acks": "all", "enable.idempotence": True})

    departures: list[float] = []

    def produce(number: int) -> None:
        departures.append(time.perf_counter())
        producer.produce(topic, str(number).encode(), str(number % 1000))
        producer.poll(0)

    steadily(rate, count, produce)
    producer.flush()
    arrivals.join()
    return arrivals.since(departures)


def idle_share(process: psutil.Process, seconds: float) -> float:
    """Return the share of a core that a process uses while nothing happens."""
    before = process.cpu_times()
    time.sleep(seconds)
    after = process.cpu_times()
    return (after.user + after.system - before.user - before.system) / seconds


def show(name: str, seconds: list[float], rate: float) -> None:
    """Print a median and a 99th percentile in milliseconds, the first second left out: there all are connecting."""
    seconds = seconds[int(rate) :]
    cuts = statistics.quantiles(seconds, n=100)
    print(f"{name:28} p50 {statistics.median(seconds) * 1e3:6.2f} ms   p99 {cuts[98] * 1e3:6.2f} ms   ({len(seconds)})")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rate", type=float, default=200, help="messages a second")
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--idle", type=float, default=10, help="seconds to watch an idle relay")
    options = parser.parse_args()
    with place() as at, at.relay("run") as process:
        count = int(options.rate * options.seconds)
        seconds, commits = through_the_relay(at, options.rate, count)
        show("COMMIT to consumer", seconds, options.rate)
        show("the commit itself", commits, options.rate)
        show("kafka alone", kafka_alone(at, options.rate, count), options.rate)
        print(f"idle relay: {idle_share(psutil.Process(process.pid), options.idle):.1%} of a core")


if __name__ == "__main__":
    main()
