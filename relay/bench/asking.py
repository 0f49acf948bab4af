"""How long `relay status` takes before a deep backlog, and while a relay drains it.

What is timed is what a person waits for, the whole command from the start of its process to its end. How much of that
is reading, and not the start of an interpreter, is told beside it: the same reading, in this process, right after.
"""

import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor

from relay.bench import child
from relay.bench.figure import Figure, at_most
from relay.bench.ground import LOGICAL, Ground, Outbox
from relay.bench.part import Say
from relay.bench.scale import Scale
from relay.errors import WorkFailed
from relay.watching import status

MOST_SECONDS = 1.0

TIMES = 5
"""How often the backlog at rest is asked about in a run; beside a drain it is asked about until that ends."""


def measure(ground: Ground, scale: Scale, say: Say) -> Iterator[Figure]:
    """Ask a backlog that waits, then one that is being drained."""
    say(f"status: enqueuing {scale.deep:,} messages")
    with ground.outbox(scale.deep) as outbox:
        say("status: asking while nothing happens")
        environment = outbox.environment({})
        asked = [_ask(outbox, environment) for _ in range(TIMES * scale.runs)]
        yield _figure(f"relay status, {scale.deep:,} messages of backlog", asked)
        say("status: asking during a drain")
        yield _figure(f"relay status, while {scale.deep:,} messages drain", _ask_beside_a_drain(outbox))


def _ask_beside_a_drain(outbox: Outbox) -> list[tuple[float, float]]:
    with outbox.ground.topic() as topic, ThreadPoolExecutor(1) as beside:
        environment = outbox.environment({LOGICAL: topic})
        draining = beside.submit(child.drain, environment)
        asked = _ask_until(draining, outbox, environment)
        draining.result()
    return asked


def _ask_until(
    draining: "Future[child.Work]", outbox: Outbox, environment: Mapping[str, str]
) -> list[tuple[float, float]]:
    """Ask until a drain is over. The first answer may come before the relay has begun, and only stands when alone."""
    asked = []
    while not draining.done():
        asked.append(_ask(outbox, environment))
    return asked[1:] or asked


def _ask(outbox: Outbox, environment: Mapping[str, str]) -> tuple[float, float]:
    """Return the seconds of the whole command, and of the reading alone."""
    began = time.perf_counter()
    command = [sys.executable, "-m", "relay", "status", "--json"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    whole = time.perf_counter() - began
    if done.returncode != 0:
        raise WorkFailed(f"relay status ended with {done.returncode}: {done.stderr.strip()[-2000:]}")
    began = time.perf_counter()
    status.read(outbox.database_url)
    return whole, time.perf_counter() - began


def _figure(name: str, asked: list[tuple[float, float]]) -> Figure:
    whole = [seconds for seconds, _ in asked]
    reading = [seconds for _, seconds in asked]
    return Figure(
        "status",
        name,
        statistics.median(whole),
        "s",
        goal=at_most(MOST_SECONDS),
        runs=tuple(whole),
        note=f"reading alone {statistics.median(reading) * 1e3:.0f} ms, {max(reading) * 1e3:.0f} at most",
    )
