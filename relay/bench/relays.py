"""How fast several relays drain one backlog together, and what the CloudEvents headers cost.

The same backlog is drained by one, two and four relays in turn, and by one that writes `headers = "id"`. The rate of
several is the whole backlog over the time from when the first of them had joined to when the last of them was done: the
joining of the others, and the handing over of shards to them, is part of it. They share the machine with PostgreSQL and
Kafka, so on few cores more relays bring safety and no speed; hence no goal.
"""

import statistics
from collections.abc import Iterator

from relay.bench import child
from relay.bench.drain import drained
from relay.bench.figure import Figure
from relay.bench.ground import LOGICAL, Ground, Outbox
from relay.bench.part import Say
from relay.bench.scale import Scale

TOGETHER = (2, 4)
"""How many relays drain at once, beside one alone."""


def measure(ground: Ground, scale: Scale, say: Say) -> Iterator[Figure]:
    """Compare several relays with one, and one header with all of them."""
    alone: list[float] = []
    id_only: list[float] = []
    together: dict[int, list[list[child.Work]]] = {relays: [] for relays in TOGETHER}
    runs = max(1, scale.runs // 2)  # there is no goal to judge
    say(f"relays: enqueuing {scale.rows:,} messages")
    with ground.outbox(scale.rows) as outbox:
        for run in range(1, runs + 1):
            say(f"relays, run {run} of {runs}: one, all headers")
            alone.append(drained(outbox).rate)
            say(f"relays, run {run} of {runs}: one, ce_id alone")
            id_only.append(drained(outbox, headers="id").rate)
            for relays, works in together.items():
                say(f"relays, run {run} of {runs}: {relays} at once")
                works.append(_drained_together(outbox, relays))
    for relays, works in together.items():
        yield _beside_one(scale.rows, relays, works, alone)
    yield _headers(scale.rows, alone, id_only)


def rate(messages: int, works: list[child.Work]) -> float:
    """Return the messages a second of several relays at once.

    Args:
        messages: of the backlog, each counted once.
        works: what each relay did.
    """
    return messages / (max(work.ended for work in works) - min(work.ended - work.seconds for work in works))


def _drained_together(outbox: Outbox, relays: int) -> list[child.Work]:
    with outbox.ground.topic() as topic:
        works = child.drain_together(outbox.environment({LOGICAL: topic}), relays)
    outbox.forget()
    return works


def _beside_one(messages: int, relays: int, works: list[list[child.Work]], alone: list[float]) -> Figure:
    rates = [rate(messages, run) for run in works]
    shares = [work.messages / messages for run in works for work in run]
    published = statistics.median(sum(work.messages for work in run) for run in works)
    return Figure(
        "relays",
        f"drain of {messages:,} messages by {relays} relays",
        statistics.median(rates),
        "messages/s",
        statistics.median(alone),
        "one relay",
        runs=tuple(several / one for several, one in zip(rates, alone, strict=True)),
        note=f"each sent {min(shares):.0%} to {max(shares):.0%} of them; {published - messages:,.0f} were sent twice",
    )


def _headers(messages: int, alone: list[float], id_only: list[float]) -> Figure:
    return Figure(
        "relays",
        f"drain of {messages:,} messages, CloudEvents headers",
        statistics.median(alone),
        "messages/s",
        statistics.median(id_only),
        'headers = "id"',
        runs=tuple(every / one for every, one in zip(alone, id_only, strict=True)),
    )
