"""How much memory a draining relay takes at its peak: before a deep backlog, with large payloads, with many topics.

What counts is the most that was resident of the relay's process, interpreter and libraries included, as the operating
system counts it (`inside.peak_bytes`). Each drain is a process of its own. Payloads are random: PostgreSQL would
compress any others, and a relay would seem to read more than it does.
"""

from collections.abc import Iterator
from typing import LiteralString

from relay.bench import child
from relay.bench.figure import Figure, at_most
from relay.bench.ground import LOGICAL, Ground, Outbox, settle
from relay.bench.part import Say
from relay.bench.payload import fill_random, room_for
from relay.bench.scale import Scale

MEBIBYTE = 1024 * 1024

MOST_MEGABYTES = 150.0

FILL_TOPICS: LiteralString = """
-- fill_topics: one message for each topic after the other, round after round
insert into outbox.message (topic, key, type, payload)
select topic, (round %% 1000)::text, 'bench.filled', convert_to(repeat('x', 300), 'UTF8')
from generate_series(1, %(rounds)s) as round
cross join unnest(%(topics)s::text[]) as topic
order by round
"""


def measure(ground: Ground, scale: Scale, say: Say) -> Iterator[Figure]:
    """Drain the three backlogs, one after the other."""
    say(f"memory: enqueuing {scale.deep:,} messages")
    with ground.outbox(scale.deep) as outbox:
        yield _deep(outbox, scale.deep, say)
    with ground.outbox() as outbox:
        # 200 at the standard scale: as much as 20 pages, so that a page that is kept too long shows.
        yield _large(outbox, min(200, scale.rows // 1000), say)
    with ground.outbox() as outbox:
        topics = min(1000, scale.rows // 200)
        yield _many_topics(outbox, topics, scale.rows // 50 // topics, say)


def _deep(outbox: Outbox, messages: int, say: Say) -> Figure:
    say(f"memory: a drain of {messages:,} messages")
    with outbox.ground.topic() as topic:
        return _peak(f"{messages:,} messages of backlog", child.drain(outbox.environment({LOGICAL: topic})))


def _large(outbox: Outbox, messages: int, say: Say) -> Figure:
    say(f"memory: a drain of {messages:,} payloads of 1 MiB")
    fill_random(outbox, messages, MEBIBYTE)
    with outbox.ground.topic(config=room_for(MEBIBYTE)) as topic:
        return _peak(f"{messages:,} payloads of 1 MiB", child.drain(outbox.environment({LOGICAL: topic})))


def _many_topics(outbox: Outbox, count: int, each: int, say: Say) -> Figure:
    say(f"memory: making {count:,} topics, and a drain to them")
    with outbox.ground.topics(count, partitions=1) as topics:
        with outbox.connect() as connection:
            connection.execute(FILL_TOPICS, {"topics": topics, "rounds": each})
            settle(connection)
        # No routes: each message names its topic in Kafka.
        return _peak(f"{count:,} topics, {each:,} messages each", child.drain(outbox.environment({})))


def _peak(of: str, work: child.Work) -> Figure:
    return Figure(
        "memory",
        f"peak memory of the relay, {of}",
        work.peak_bytes / 1e6,
        "MB",
        goal=at_most(MOST_MEGABYTES, "value"),
        note=f"{work.rate:,.0f} messages/s",
    )
