"""All figures of one benchmark, and the machine that they are of."""

import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

import confluent_kafka
import psycopg

from relay import __version__
from relay.bench.figure import Figure, Verdict


@dataclass(frozen=True, slots=True)
class Report:
    """What `relay bench` found."""

    machine: dict[str, str]
    figures: Sequence[Figure]

    def count(self, verdict: Verdict) -> int:
        """Return how many figures have a verdict."""
        return sum(figure.verdict is verdict for figure in self.figures)

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Self:
        """Return the report that `as_json` was called on."""
        return cls(dict(stored["machine"]), tuple(map(Figure.from_json, stored["figures"])))

    def as_json(self) -> dict[str, Any]:
        """Return it for programs."""
        return {"machine": self.machine, "figures": [figure.as_json() for figure in self.figures]}


def machine(server_url: str) -> dict[str, str]:
    """Describe what the figures are of: the hardware, and the versions of all that takes part."""
    with psycopg.connect(server_url) as connection:
        found = connection.execute("-- version\nshow server_version").fetchone()
    assert found is not None
    return {
        "relay": __version__,
        "date": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        "processor": f"{_processor()}, {os.cpu_count()} cores",
        "load": f"{os.getloadavg()[0]:.1f} when it began",
        "memory": f"{_memory_gib():.0f} GiB",
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "postgresql": str(found[0]),
        "librdkafka": confluent_kafka.libversion()[0],
    }


def _memory_gib() -> float:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30


def _processor() -> str:
    """Return the processor's name; Linux tells it in /proc alone."""
    if Path("/proc/cpuinfo").exists():
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
