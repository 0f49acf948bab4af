"""How long a message takes from just before its COMMIT to the consumer, at a low and at a high steady rate.

Beside it stands the time of such a commit plus Kafka's own from produce to consume: what an application meets that
commits the same row to another table and then hands the message to Kafka itself, which is fast, and loses messages in
a crash. Both loads do the same work on the same machine but for the relay, and run in turn.
"""

import statistics
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from relay.bench import child
from relay.bench.arrivals import consuming
from relay.bench.departures import How, first_message, leave
from relay.bench.figure import Figure, at_most
from relay.bench.ground import LOGICAL, Ground
from relay.bench.part import Say
from relay.bench.scale import Scale

RATES = (200, 2_000)
"""Messages a second: one that an application has on a quiet day, and one at which every commit meets another."""

CONNECTING_SECONDS = 1.0
"""Left out at the start of every load: there all are connecting."""

STAMPED = {"message.timestamp.type": "CreateTime"}
"""Messages keep the time at which a producer was handed them, whatever the broker's default is."""

HELD = 0.005
"""Seconds that one message in a hundred may leave late without a word about it."""


@dataclass(frozen=True, slots=True)
class Load:
    """What a steady load met, message by message, in seconds."""

    whole: Sequence[float]
    """From just before COMMIT to the consumer."""
    commits: Sequence[float]
    """Of it, until COMMIT came back."""
    handed: Sequence[float]
    """Until the message was handed to the producer that sent it to Kafka: good for a mean only."""
    lateness: float
    """How long after it was due one message in a hundred left, or more."""


@dataclass(frozen=True, slots=True)
class Run:
    """A load through the relay, and one of the same rate without it."""

    relayed: Load
    direct: Load

    def ratio(self, percent: int) -> float:
        """The relay's percentile as a multiple of the direct one."""
        return percentile(self.relayed.whole, percent) / percentile(self.direct.whole, percent)


def percentile(values: Sequence[float], percent: int) -> float:
    """Return the value that so many percent of all do not exceed."""
    return statistics.quantiles(values, n=100, method="inclusive")[percent - 1]


def measure(ground: Ground, scale: Scale, say: Say) -> Iterator[Figure]:
    """Compare the relay with a commit and Kafka's own time, at each rate."""
    with ground.outbox() as outbox, ground.topics(2, config=STAMPED) as (through, around):
        relayed, direct = outbox.environment({LOGICAL: through}), outbox.environment({LOGICAL: around})
        with child.relay(relayed, ground.folder):
            say("latency: a first message shows that the relay is there")
            first_message(relayed)
            for rate in RATES:
                runs = []
                for run in range(1, scale.runs + 1):
                    say(f"latency at {rate:,} messages/s, run {run} of {scale.runs}: through the relay")
                    count = int(rate * max(scale.seconds, CONNECTING_SECONDS + 1))
                    through_relay = _load("outbox", relayed, rate, count)
                    say(f"latency at {rate:,} messages/s, run {run} of {scale.runs}: directly")
                    runs.append(Run(through_relay, _load("direct", direct, rate, count)))
                yield from figures(rate, runs)


def _load(how: How, environment: Mapping[str, str], rate: int, count: int) -> Load:
    """Send a steady load and wait until it has arrived."""
    wall = time.time() - time.monotonic()
    with consuming(environment, count) as coming:
        left = leave(how, environment, rate, count)
        came = coming.all()
    first = int(rate * CONNECTING_SECONDS)
    return Load(
        [end - start for start, end in zip(left.at, came.at, strict=True)][first:],
        [end - start for start, end in zip(left.at, left.returned, strict=True)][first:],
        [stamp - start - wall for start, stamp in zip(left.at, came.stamped, strict=True)][first:],
        percentile(left.lateness[first:], 99),
    )


def figures(rate: int, runs: Sequence[Run]) -> Iterator[Figure]:
    """Say what some runs at a rate found."""
    for percent in (50, 99):
        yield Figure(
            "latency",
            f"COMMIT to consumer at {rate:,} messages/s, {percent}th percentile",
            statistics.median(percentile(run.relayed.whole, percent) for run in runs) * 1000,
            "ms",
            statistics.median(percentile(run.direct.whole, percent) for run in runs) * 1000,
            "such a commit and Kafka's own produce to consume",
            at_most(1.5, "ratio"),
            tuple(run.ratio(percent) for run in runs),
            _note(percent, runs),
        )
    yield _stages(rate, runs)


def _note(percent: int, runs: Sequence[Run]) -> str:
    through = statistics.median(percentile(run.relayed.commits, percent) for run in runs)
    around = statistics.median(percentile(run.direct.commits, percent) for run in runs)
    note = f"of that the commit {through * 1000:.2g} ms, of the reference {around * 1000:.2g} ms"
    late = [load.lateness for run in runs for load in (run.relayed, run.direct) if load.lateness > HELD]
    return f"{note}; the rate was not held: 1 % left {max(late) * 1000:.0f} ms late or more" if late else note


def _stages(rate: int, runs: Sequence[Run]) -> Figure:
    """Say what the relay's share of the way is; means, since those of stages add up to that of the whole."""
    commit = statistics.fmean(value for run in runs for value in run.relayed.commits) * 1000
    handed = statistics.fmean(value for run in runs for value in run.relayed.handed) * 1000
    whole = statistics.fmean(value for run in runs for value in run.relayed.whole) * 1000
    kafka = (
        statistics.fmean(
            value - commit for run in runs for value, commit in zip(run.direct.whole, run.direct.commits, strict=True)
        )
        * 1000
    )
    return Figure(
        "latency",
        f"of it until the relay hands the message to Kafka, at {rate:,} messages/s, mean",
        handed,
        "ms",
        whole,
        "the whole way",
        note=f"of that the commit {commit:.2g} ms; from there to the consumer {whole - handed:.2g} ms, "
        f"directly {kafka:.2g} ms",
    )
