"""Starts everything, speaks, and prints the table."""

import argparse
import asyncio
import json
import os
import resource
import secrets
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import psycopg
from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined]

from app_integration.realtime.migrate import upgrade
from bench import section
from bench.realtime import crowd
from relay import migrate as outbox
from relay.bench.latency import percentile
from relay.local.process import Process, await_answer, free_port
from relay.local.services import Services, services

REPOSITORY = Path(__file__).parents[2]
ROOM = "course:1"
PATIENCE = 300.0
COMMAND = "python -m bench.realtime --docs"
Row = tuple[str, list[float], int]


def main() -> None:
    """Measure one after the other."""
    parser = argparse.ArgumentParser("python -m bench.realtime", description=__doc__)
    parser.add_argument("--clients", type=int, default=1000)
    parser.add_argument("--messages", type=int, default=100)
    parser.add_argument("--per-second", type=float, default=2.0)
    parser.add_argument("--docs", action="store_true", help="put the table into docs/performance.md")
    options = parser.parse_args()
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    with ExitStack() as running:
        folder = Path(running.enter_context(tempfile.TemporaryDirectory()))
        given = running.enter_context(
            services(folder, os.environ.get("DATABASE_URL", ""), os.environ.get("KAFKA_BROKERS", ""))
        )
        about = section.about(given.database_url)
        rows = [bare(folder, options), real(folder, options, given)]
    section.tell("realtime", COMMAND, table(rows, options, about), docs=options.docs)


def table(rows: list[Row], options: argparse.Namespace, about: str) -> str:
    """Write the figures of both, and how many times the bare one's ours are."""
    (_, reference, _), (_, latencies, _) = rows
    ratio = [percentile(latencies, percent) / percentile(reference, percent) for percent in (50, 99)]
    return "\n".join(
        [
            "| from send to receive | receipts | p50 | p99 | slowest |\n|---|---|---|---|---|",
            *map(_row, rows),
            f"| ratio | | {ratio[0]:.2f} | {ratio[1]:.2f} | |",
            "",
            f"{options.clients:,} clients, {options.messages} messages at {options.per_second:g}/s. {about}",
        ]
    )


def _row(row: Row) -> str:
    name, latencies, expected = row
    middle, high = percentile(latencies, 50), percentile(latencies, 99)
    received = f"{len(latencies):,} of {expected:,}"
    return f"| {name} | {received} | {middle:.1f} ms | {high:.1f} ms | {max(latencies):.1f} ms |"


def bare(folder: Path, options: argparse.Namespace) -> Row:
    """Measure the server to compare with."""
    with ExitStack() as running:
        port = free_port()
        command = [sys.executable, "-m", "bench.realtime.bare", str(port)]
        url = f"http://127.0.0.1:{port}"
        running.enter_context(process(command, folder / "bare.log", url + "/socket.io/?EIO=4"))
        return measure("bare Socket.IO, one process, nothing stored", [url], "x" * 32, options)


def real(folder: Path, options: argparse.Namespace, given: Services) -> Row:
    """Measure two servers, with the outbox, a relay and Kafka between."""
    secret, topic = secrets.token_urlsafe(48), f"bench-{secrets.token_hex(4)}"
    outbox.upgrade(given.database_url)
    upgrade(given.database_url)
    with psycopg.connect(given.database_url) as connection:
        connection.execute(
            "select realtime.admit(%s, 'user-' || n) from generate_series(0, %s) n", (ROOM, options.clients)
        )
    admin = AdminClient({"bootstrap.servers": given.kafka_brokers})
    admin.create_topics([NewTopic(topic, 6, 1)])[topic].result(30)
    environment = {
        **os.environ,
        "PYTHONPATH": str(REPOSITORY),
        "DATABASE_URL": given.database_url,
        "KAFKA_BROKERS": given.kafka_brokers,
        "JWT_SECRET": secret,
        "REALTIME_TOPIC": topic,
        "RELAY_TOPICS": json.dumps({"realtime-events": {"name": topic}}),
    }
    with ExitStack() as running:
        relay = Process(
            [sys.executable, "-m", "relay", "run", "--wait", "60"],
            folder / "relay.log",
            directory=folder,
            environment=environment,
        )
        running.callback(relay.end)
        urls = []
        for number in (1, 2):
            port = free_port()
            command = [sys.executable, "-m", "app_integration", "realtime", "--port", str(port)]
            urls.append(f"http://127.0.0.1:{port}")
            running.enter_context(process(command, folder / f"{number}.log", urls[-1] + "/readyz", environment))
        return measure("two servers, stored, outbox, relay, Kafka", urls, secret, options)


@contextmanager
def process(
    command: list[str], log: Path, address: str, environment: dict[str, str] | None = None
) -> Iterator[Process]:
    """Run a server until the block ends, from when it answers."""
    environment = environment or {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    started = Process(command, log, directory=REPOSITORY, environment=environment)

    def answers() -> bool:
        try:
            with closing(urllib.request.urlopen(address, timeout=1)):
                return True
        except urllib.error.HTTPError:
            return True
        except OSError:
            return False

    await_answer(started, log, PATIENCE, answers)
    try:
        yield started
    finally:
        started.end()


def measure(name: str, urls: list[str], secret: str, options: argparse.Namespace) -> Row:
    """Have a crowd on each server, speak to all of them, and gather what they heard."""
    share = options.clients // 2
    plans = [
        {"url": urls[index % len(urls)], "room": ROOM, "secret": secret, "first": 1 + index * share, "count": share}
        for index in range(2)
    ]
    crowds = [
        subprocess.Popen(
            [sys.executable, "-m", "bench.realtime.crowd", json.dumps(plan)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=REPOSITORY,
        )
        for plan in plans
    ]
    try:
        for each in crowds:
            assert each.stdout
            assert each.stdout.readline() == "ready\n", "a crowd could not join"
        print(f"{name}: {2 * share} clients have joined", file=sys.stderr)
        asyncio.run(talk(urls[0], secret, options))
        latencies = [latency for each in crowds for latency in json.loads(each.communicate()[0])]
    finally:
        for each in crowds:
            each.kill()
    return name, latencies, options.messages * 2 * share


async def talk(url: str, secret: str, options: argparse.Namespace) -> None:
    """Say something now and then, and wait until all of it has come back."""
    plan = crowd.Plan(url, ROOM, secret, first=0, count=1)
    socket = await crowd.speak(plan, 0)
    listening = asyncio.create_task(crowd.listen(plan, socket))
    for _ in range(options.messages):
        await asyncio.sleep(1 / options.per_second)
        asked = ["chat:send", {"room": ROOM, "text": str(time.monotonic_ns())}]
        await socket.send("42" + json.dumps(asked))
    async with asyncio.timeout(PATIENCE):
        while len(plan.latencies) < options.messages:  # noqa: ASYNC110 - the last moment of a measurement
            await asyncio.sleep(0.1)
    await asyncio.sleep(2)  # for the last client of the last message
    listening.cancel()
    await socket.close()


if __name__ == "__main__":
    main()
