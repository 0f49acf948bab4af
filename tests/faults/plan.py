"""What goes wrong in a campaign, and in which order: all of it follows from the seed. Pure.

Every kind comes before any comes more often than its weight allows, so a campaign of sixty faults meets them all. Now
and then several strike at once, where they do not lay hands on the same thing.
"""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain

from tests.faults.kinds import KINDS, Fault, Kind

AT_ONCE = (1, 1, 1, 1, 2, 3)
"""How many strike at once, each as likely as the others."""

SEVERAL = "several at once"

Card = tuple[str, Fault]
"""A fault with the name of its kind."""


@dataclass(frozen=True, slots=True)
class Volley:
    """The faults that strike at once."""

    faults: Sequence[Card]

    @property
    def kind(self) -> str:
        """What its figures are counted as."""
        return self.faults[0][0] if len(self.faults) == 1 else SEVERAL

    @property
    def seconds(self) -> float:
        """How long the longest of them lasts."""
        return max(fault.seconds for _, fault in self.faults)

    def __str__(self) -> str:
        return " + ".join(f"{name} ({fault})" for name, fault in self.faults)


def plan(seed: int, faults: int, kinds: Sequence[Kind] = KINDS, at_once: Sequence[int] = AT_ONCE) -> list[Volley]:
    """Draw a campaign.

    Args:
        seed: decides everything.
        faults: how many.
        kinds: which may come.
        at_once: how many strike at once, one of these.
    """
    random_ = random.Random(f"{seed}-plan")
    deck = _deck(random_, kinds)
    volleys: list[Volley] = []
    left = faults
    while left:
        volley, deck = _volley(deck, min(left, random_.choice(at_once)))
        volleys.append(volley)
        left -= len(volley.faults)
    return volleys


def _deck(random_: random.Random, kinds: Sequence[Kind]) -> Iterator[Card]:
    """Deal kinds for ever: each as often as its weight says before the deck is shuffled anew; at first each once."""
    cards = list(kinds)
    while True:
        random_.shuffle(cards)
        for kind in cards:
            yield kind.name, kind.draw(random_)
        cards = [kind for kind in kinds for _ in range(kind.weight)]


def _volley(deck: Iterator[Card], size: int) -> tuple[Volley, Iterator[Card]]:
    """Take as many cards as may strike at once; return them, and the deck without them."""
    chosen: list[Card] = []
    put_off: list[Card] = []
    taken: frozenset[str] = frozenset()
    while len(chosen) < size:
        card = next(deck)
        if taken.isdisjoint(card[1].subjects):
            chosen.append(card)
            taken |= card[1].subjects
        else:
            put_off.append(card)
    return Volley(chosen), chain(put_off, deck)
