"""The judge as a process: `python -m relay.judge --brokers localhost:29092 --topics audit-logs,email-queue`.

It reads the topics from their beginning to where they end now, prints one JSON object of counts, and exits 0.
With `--stream` it prints the messages instead, a line for each batch: a JSON array of arrays with the fields
of `Seen`; and it goes on until it is told to finish: the line `finish` on its input makes it read to where
the topics end at that moment, print `null` and exit 0. When its input ends without that, whoever started it
is gone, and it goes too. TLS and SASL are set by `RELAY_KAFKA_…`, as for
the relay. Exit codes: 0 read all, 1 did not, 2 those settings are wrong.
"""

import argparse
import json
import os
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict

from confluent_kafka import KafkaException

from relay.configuration.kafka_properties import VARIABLE
from relay.configuration.sources import from_environment
from relay.judge.consumer import Reader
from relay.judge.verdict import Seen, order

FINISH = "finish"


def main() -> int:
    """Read, print, return the exit code."""
    options = _options()
    variables = {name: value for name, value in os.environ.items() if name.startswith(VARIABLE)}
    security = from_environment(variables, ("kafka_brokers",))
    if security.problems:
        print(*security.problems, sep="\n", file=sys.stderr)  # noqa: T201
        return 2
    reader = Reader(options.brokers, options.topics.split(","), options.counter, security.kafka)
    try:
        if options.stream:
            _stream(reader, _finish_asked())
        else:
            print(json.dumps(_summary(_until_ends(reader))))  # noqa: T201 - its output is its purpose
    except KafkaException as error:
        print(f"cannot read on: {error.args[0].str()}", file=sys.stderr)  # noqa: T201
        return 1
    finally:
        reader.close()
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m relay.judge", description="Count what truly is in Kafka.")
    parser.add_argument("--brokers", required=True, help="host:port, comma separated")
    parser.add_argument("--topics", required=True, help="names in Kafka, comma separated")
    parser.add_argument("--counter", help="the field of JSON payloads that counts the messages of a key upwards")
    parser.add_argument("--stream", action="store_true", help="print each message as it comes, until told to finish")
    return parser.parse_args()


def _until_ends(reader: Reader) -> list[Seen]:
    ends = reader.ends()
    seen: list[Seen] = []
    while not reader.reached(ends):
        seen.extend(reader.batch())
    return seen


def _stream(reader: Reader, finish: threading.Event) -> None:
    while not finish.is_set():
        _print(reader.batch())
    ends = reader.ends()
    while not reader.reached(ends):
        _print(reader.batch())
    print("null", flush=True)  # noqa: T201 - its output is its purpose


def _print(messages: Iterator[Seen]) -> None:
    batch = list(messages)
    if batch:
        print(json.dumps(batch), flush=True)  # noqa: T201 - its output is its purpose


def _finish_asked() -> threading.Event:
    """Return an event that is set once told to finish; input that ends without that ends the process."""
    finish = threading.Event()

    def listen() -> None:
        for line in sys.stdin:
            if line.strip() == FINISH:
                return finish.set()
        os._exit(1)

    threading.Thread(target=listen, daemon=True).start()
    return finish


def _summary(seen: list[Seen]) -> dict[str, object]:
    occurrences = Counter(message.id for message in seen if message.id)
    repeated = {id_: count for id_, count in occurrences.items() if count > 1}
    return {"messages": len(seen), **asdict(order(seen)), "repeated": repeated}


if __name__ == "__main__":
    sys.exit(main())
