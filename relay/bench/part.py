"""What a part of the benchmark is. Imports nothing that takes time: `relay bench --help` lists the parts."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from relay.bench.figure import Figure
from relay.bench.scale import Scale

if TYPE_CHECKING:
    from relay.bench.ground import Ground

Say = Callable[[str], None]
"""Is told what is being done, for whoever waits."""

Measure = Callable[["Ground", Scale, Say], Iterator[Figure]]
"""Yields each figure as soon as it is known."""


@dataclass(frozen=True, slots=True)
class Part:
    """A group of figures that are measured together.

    Args:
        name: what it is called on the command line.
        about: what it measures, in words.
        seconds: about how long it takes at the standard scale on two cores.
        measure: does it.
    """

    name: str
    about: str
    seconds: float
    measure: Measure
