"""What a relay costs while nothing is enqueued: processor time, and statements that it sends.

Both are counted from outside and over the same seconds: the first by the operating system, the second on the wire
between the relay and PostgreSQL (`wire`), where each statement that the relay waits for is one.
"""

import time
from collections.abc import Iterator
from dataclasses import replace

import psutil

from relay.bench import child
from relay.bench.departures import first_message
from relay.bench.figure import Figure, at_most
from relay.bench.ground import LOGICAL, Ground
from relay.bench.part import Say
from relay.bench.scale import Scale
from relay.bench.wire import Wire, tapped

SETTLING_SECONDS = 3.0
"""After its last message a relay looks for stragglers for a poll interval or two, less and less often."""


def measure(ground: Ground, scale: Scale, say: Say) -> Iterator[Figure]:
    """Watch a relay that has nothing to do."""
    with ground.outbox() as outbox, ground.topic() as topic, tapped(outbox.database_url) as (wire, url):
        environment = replace(outbox, database_url=url).environment({LOGICAL: topic})
        with child.relay(environment, ground.folder) as process:
            say("idle: a first message shows that the relay is there")
            first_message(environment)
            time.sleep(SETTLING_SECONDS)
            say(f"idle: watching the relay for {scale.seconds:g} s")
            yield from _watched(psutil.Process(process.pid), wire, scale.seconds)


def _watched(process: psutil.Process, wire: Wire, seconds: float) -> Iterator[Figure]:
    """Count for some seconds."""
    used, asked, began = _processor_seconds(process), wire.asked, time.monotonic()
    time.sleep(seconds)
    used, asked, took = _processor_seconds(process) - used, wire.asked - asked, time.monotonic() - began
    share = used / took * 100
    yield Figure(
        "idle", "processor time of an idle relay", share, "% of a core", goal=at_most(1.0), note=f"over {took:.0f} s"
    )
    yield Figure(
        "idle",
        "statements that an idle relay sends",
        asked / took,
        "a second",
        goal=at_most(5.0),
        note=f"{asked} in {took:.0f} s, counted on the wire",
    )


def _processor_seconds(process: psutil.Process) -> float:
    used = process.cpu_times()
    return used.user + used.system
