"""How fast a backlog drains, against the best loop that records nothing; by one relay and by several.

Both read the same table and write the same bytes with the same headers and compression; the bare loop is
`inside.bare_loop`. They run in turn, so that a drift of the machine meets both.
"""

import statistics
from collections.abc import Iterator

from relay.bench import child
from relay.bench.figure import Figure, at_least
from relay.bench.ground import LOGICAL, Ground, Outbox
from relay.bench.part import Say
from relay.bench.scale import Scale


def measure(ground: Ground, scale: Scale, say: Say) -> Iterator[Figure]:
    """Compare the relay with the bare loop, uncompressed and with lz4."""
    say(f"drain: enqueuing {scale.rows:,} messages")
    with ground.outbox(scale.rows) as outbox:
        for compression in ("none", "lz4"):
            yield _against_bare_loop(outbox, scale, say, compression)


def _against_bare_loop(outbox: Outbox, scale: Scale, say: Say, compression: str) -> Figure:
    kafka = {"compression.type": compression}
    bare, relay = [], []
    for run in range(1, scale.runs + 1):
        say(f"drain, compression {compression}, run {run} of {scale.runs}: bare loop")
        with outbox.ground.topic() as topic:
            bare.append(child.bare_loop(outbox.environment({LOGICAL: topic}, kafka=kafka)))
        say(f"drain, compression {compression}, run {run} of {scale.runs}: relay")
        relay.append(drained(outbox, kafka=kafka))
    cost = statistics.median(work.cpu_seconds / work.messages for work in relay)
    least = statistics.median(work.cpu_seconds / work.messages for work in bare)
    return Figure(
        "drain",
        f"drain of {scale.rows:,} messages, compression {compression}",
        statistics.median(work.rate for work in relay),
        "messages/s",
        statistics.median(work.rate for work in bare),
        "bare loop",
        at_least(0.85),
        tuple(one.rate / other.rate for one, other in zip(relay, bare, strict=True)),
        f"{cost * 1e6:.1f} µs of processor a message, bare loop {least * 1e6:.1f}",
    )


def drained(outbox: Outbox, **settings: object) -> child.Work:
    """Drain an outbox into a new topic, and make all of it unsent again."""
    with outbox.ground.topic() as topic:
        work = child.drain(outbox.environment({LOGICAL: topic}, **settings))
    outbox.forget()
    return work
