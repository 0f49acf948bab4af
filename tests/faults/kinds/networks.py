"""What happens to the way between one relay and one server, while everybody else's is well."""

import random
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from tests.faults.kinds.fault import Fault, Kind, lasting
from tests.faults.kinds.relays import PERMANENT
from tests.faults.proxy import Proxy
from tests.faults.stage import Stage

HOW: Mapping[str, tuple[Callable[[Proxy], None], float]] = {
    "cut": (Proxy.cut, 0.5),
    "refused": (Proxy.refuse, 5),
    "silent": (Proxy.silence, 8),
    "slow": (lambda way: way.slow(0.2), 5),
    "lost by the server, unheard": (lambda way: way.orphan(server=True), 8),
    "lost by the relay, unheard": (lambda way: way.orphan(server=False), 8),
}
"""What happens, and how many seconds it lasts at most."""


@dataclass(frozen=True, slots=True)
class OfWay(Fault):
    """A fault of one relay's way to one server."""

    relay: str
    server: str
    how: str

    @property
    def subjects(self) -> frozenset[str]:
        return frozenset({f"way of {self.relay} to {self.server}"})

    @contextmanager
    def befall(self, stage: Stage) -> Iterator[None]:
        seat = stage.seats[self.relay]
        way = seat.to_postgres if self.server == "postgres" else seat.to_kafka
        HOW[self.how][0](way)
        yield
        way.mend()

    def __str__(self) -> str:
        return f"{self.relay}, for {self.seconds:.1f} s"


def _kind(server: str, how: str) -> Kind:
    def draw(random_: random.Random) -> Fault:
        return OfWay(lasting(random_, HOW[how][1]), random_.choice(PERMANENT), server, how)

    return Kind(f"way to {server} {how}", draw)


NETWORKS = tuple(_kind(server, how) for server in ("postgres", "kafka") for how in HOW)
