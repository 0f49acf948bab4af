"""Whether the relay gets slower as a backlog gets deeper, and how payloads of any size compare with the bare loop.

Depth. A drain begins with what is the same for every backlog: taking the shards, opening the connection to Kafka,
recording the last checkpoint, looking whether nothing is left. That time is measured beside it, as a drain of a single
message, and subtracted, for it would make small backlogs look slow and so hide that deeper ones are slower. (At most
half of a drain is subtracted: of less than that, chance would decide.) A depth is held against the fastest of the
smaller ones. The other way round is no growth: a backlog of one page has nothing to read ahead while it is published,
and so can be slower than a deeper one.

Size. The same bytes by the relay and by the bare loop in turn, both with all that they do at their start. The bare loop
fetches as many rows at once as fit into the relay's page, and takes messages of any size.
"""

import statistics
from collections.abc import Iterator, Sequence

from relay.bench import child
from relay.bench.drain import drained
from relay.bench.figure import Figure, at_least
from relay.bench.ground import LOGICAL, Ground, Outbox
from relay.bench.part import Say
from relay.bench.payload import fill_random, room_for
from relay.bench.scale import Scale
from relay.configuration.settings import Settings

SIZES = {"100 B": 100, "1 kB": 1_000, "10 kB": 10_000, "100 kB": 100_000, "1 MiB": 1_048_576}
"""Bytes of a payload."""

DEEP, LARGE = 1_000_000, 100_000
"""Below this depth, and from this size on, a drain takes a second: chance moves it more, so it is measured twice as
often as all else."""


def measure(ground: Ground, scale: Scale, say: Say) -> Iterator[Figure]:
    """Drain deeper and deeper backlogs, then larger and larger payloads."""
    yield from _depths(ground, scale, say)
    for name, size in SIZES.items():
        with ground.outbox() as outbox:
            yield _of_size(outbox, name, size, scale, say)


def _depths(ground: Ground, scale: Scale, say: Say) -> Iterator[Figure]:
    fastest = 0.0
    for depth in scale.backlogs:
        say(f"growth: enqueuing {depth:,} messages")
        with ground.outbox(1) as single, ground.outbox(depth) as outbox:
            rates = _rates(single, outbox, depth, scale.runs * (1 if depth >= DEEP else 2), say)
        yield _of_depth(depth, rates, fastest)
        fastest = max(fastest, statistics.median(rates))


def _rates(single: Outbox, outbox: Outbox, depth: int, times: int, say: Say) -> list[float]:
    starts, drains = [], []
    for time in range(1, times + 1):
        say(f"growth: draining {depth:,} messages, {time} of {times}")
        starts.append(drained(single).seconds)
        drains.append(drained(outbox).seconds)
    return [rate(depth, seconds, statistics.median(starts)) for seconds in drains]


def rate(messages: int, seconds: float, start: float) -> float:
    """Return the messages a second of a drain without its start.

    Args:
        messages: drained.
        seconds: the whole drain.
        start: the seconds of a drain of one message.
    """
    return messages / max(seconds - start, seconds / 2)


def _of_depth(depth: int, rates: Sequence[float], fastest: float) -> Figure:
    rate_here = statistics.median(rates)
    return Figure(
        "growth",
        f"drain of {depth:,} messages, start subtracted",
        rate_here,
        "messages/s",
        fastest or None,
        "fastest of the smaller backlogs" if fastest else "",
        at_least(0.85) if fastest else None,
        tuple(one / fastest for one in rates) if fastest else tuple(rates),
    )


def _of_size(outbox: Outbox, name: str, size: int, scale: Scale, say: Say) -> Figure:
    messages = count(size, scale.rows)
    say(f"growth: enqueuing {messages:,} payloads of {name}")
    fill_random(outbox, messages, size)
    bare, relay = [], []
    times = scale.runs * (2 if size >= LARGE else 1)
    for run in range(1, times + 1):
        say(f"growth: draining payloads of {name}, {run} of {times}")
        with outbox.ground.topic(config=room_for(size)) as topic:
            bare.append(child.bare_loop(outbox.environment({LOGICAL: topic}, page_rows=page_rows(size))).rate)
        with outbox.ground.topic(config=room_for(size)) as topic:
            relay.append(child.drain(outbox.environment({LOGICAL: topic})).rate)
        outbox.forget()
    return Figure(
        "growth",
        f"drain of {messages:,} payloads of {name}",
        statistics.median(relay) * size / 1e6,
        "MB/s",
        statistics.median(bare) * size / 1e6,
        "bare loop",
        at_least(0.85),
        tuple(one / other for one, other in zip(relay, bare, strict=True)),
    )


def count(size: int, rows: int) -> int:
    """Return how many payloads of a size are drained.

    As many bytes as a drain's rows of 300 bytes have, and no more than a quarter of its rows: at the standard scale 25
    to 300 MB, a few seconds for each size.

    Args:
        size: bytes of a payload.
        rows: the messages of a drain at this scale.
    """
    return min(rows // 4, rows * 300 // size)


def page_rows(size: int) -> int:
    """Return how many rows the bare loop fetches at once: what fits into the relay's page, of rows and of bytes.

    Args:
        size: bytes of a payload.
    """
    default = Settings()
    return max(1, min(default.page_rows, default.page_bytes // size))
