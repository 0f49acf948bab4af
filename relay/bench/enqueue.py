"""What enqueueing costs the application, beside the INSERT that it would write itself.

The work is done by `app_integration.bench`, started as a process like any application: the relay knows nothing of that
package. One message stands beside SQLAlchemy's plain INSERT of a row that is ready. A thousand stand beside the faster
of SQLAlchemy's two plain INSERTs of the same rows: a statement for each row, sent together (`executemany`), or all rows
in one statement. What is faster than either is reported besides: the statement of `enqueue_many` itself with rows that
are made and checked already, and COPY.
"""

import json
import statistics
import subprocess
import sys
from collections.abc import Iterator, Sequence

from relay.bench.figure import Figure, at_most
from relay.bench.ground import Ground, Outbox
from relay.bench.part import Say
from relay.bench.scale import Scale
from relay.errors import WorkFailed

PLAIN = ("executemany", "all rows in one")

FASTER = {"the same statement": "its own statement, rows ready made", "copy": "COPY, rows ready made"}

Medians = dict[str, float]
"""The median seconds of each way of writing, in one run."""


def measure(ground: Ground, scale: Scale, say: Say) -> Iterator[Figure]:
    """Compare one message, then a thousand."""
    runs: list[dict[str, Medians]] = []
    with ground.outbox() as outbox:
        for run in range(1, scale.runs + 1):
            say(f"enqueue, run {run} of {scale.runs}")
            runs.append(_run(outbox, scale))
    one, many = [run["one"] for run in runs], [run["many"] for run in runs]
    yield _figure("one message through a Session", one, "enqueue", "insert", against="the bare INSERT", most=1.3)
    plain = min(PLAIN, key=lambda way: statistics.median(run[way] for run in many))
    yield _figure("1,000 messages", many, "enqueue_many", plain, against=f"bare INSERTs, {plain}", most=1.3)
    for way, words in FASTER.items():
        yield _figure("1,000 messages", many, "enqueue_many", way, against=words)


def _run(outbox: Outbox, scale: Scale) -> dict[str, Medians]:
    times = ["--ones", str(scale.rows // 2_000), "--thousands", str(max(2, scale.rows // 125_000))]
    command = [sys.executable, "-m", "app_integration.bench", *times]
    done = subprocess.run(command, env=outbox.environment({}), capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise WorkFailed(f"app_integration.bench ended with {done.returncode}: {done.stderr.strip()[-2000:]}")
    return medians(done.stdout)


def medians(answer: str) -> dict[str, Medians]:
    """Read what `app_integration.bench` printed: by kind and way the seconds of each repetition."""
    return {
        kind: {way: statistics.median(seconds) for way, seconds in ways.items()}
        for kind, ways in json.loads(answer).items()
    }


def _figure(
    of: str, runs: Sequence[Medians], way: str, reference: str, *, against: str, most: float | None = None
) -> Figure:
    return Figure(
        "enqueue",
        f"{way} of {of}, against {against}",
        statistics.median(run[way] for run in runs) * 1e3,
        "ms",
        statistics.median(run[reference] for run in runs) * 1e3,
        against,
        at_most(most, "ratio") if most else None,
        tuple(run[way] / run[reference] for run in runs),
    )
