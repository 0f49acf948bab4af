"""What is struck, in which order and how: all of it follows from the seed. Pure.

Everybody's turn to be killed comes before anybody's second, and with it each of the other ways in which things go
wrong. Several are struck at once now and then; servers of all are struck alone.
"""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

KILLED, STOPPED, FROZEN = "killed", "asked to go", "frozen"
LOSES, DELAYS = "loses an answer", "answers too late"
MAIL, DATABASE, KAFKA = "mail server", "PostgreSQL", "Kafka"

AT_ONCE = (1, 2, 2, 3)


@dataclass(frozen=True, slots=True)
class Strike:
    """One thing that happens to one of them."""

    kind: str
    victim: str
    seconds: float = 0.0
    """How long it lasts."""

    def __str__(self) -> str:
        lasting = f" for {self.seconds:.1f} s" if self.seconds else ""
        return f"{self.victim} {self.kind}{lasting}"


Volley = tuple[Strike, ...]


def plan(seed: int, strikes: int, seats: Sequence[str]) -> list[Volley]:
    """Draw what happens.

    Args:
        seed: decides it.
        strikes: how many.
        seats: of all who take part; of two that do the same, the names end in "one" and "two".
    """
    dice = random.Random(f"{seed}-plan")
    deck, volleys = _deck(dice, seats), list[Volley]()
    put_off: list[Strike] = []
    while strikes > 0:
        volley, size = list[Strike](), min(strikes, dice.choice(AT_ONCE))
        while len(volley) < size:
            strike = put_off.pop(0) if put_off else next(deck)
            if volley and not _beside(strike, volley):
                put_off.append(strike)
                break
            volley.append(strike)
            if strike.victim in (DATABASE, KAFKA):
                break
        volleys.append(tuple(volley))
        strikes -= len(volley)
    return volleys


def _beside(strike: Strike, others: Sequence[Strike]) -> bool:
    return strike.victim not in (DATABASE, KAFKA) and all(strike.victim != other.victim for other in others)


def _deck(dice: random.Random, seats: Sequence[str]) -> Iterator[Strike]:
    """Deal strikes for ever; the first ones go once through all roles, beginning with what takes longest to mend."""
    roles = sorted({seat.removesuffix(" one").removesuffix(" two") for seat in seats})
    first = [Strike(KILLED, dice.choice([seat for seat in seats if seat.startswith(role)])) for role in roles]
    first += [Strike(STOPPED, dice.choice(seats)), _freeze(dice, seats)]
    dice.shuffle(first)
    yield from (Strike(LOSES, MAIL), first.pop(), Strike(LOSES, MAIL), Strike(DELAYS, MAIL), *first)
    while True:
        cards = [Strike(KILLED, seat) for seat in seats]
        cards += [Strike(STOPPED, seat) for seat in dice.sample(seats, 4)]
        cards += [_freeze(dice, seats) for _ in range(4)]
        cards += [Strike(LOSES, MAIL), Strike(LOSES, MAIL), Strike(DELAYS, MAIL)]
        cards += [Strike(KILLED, DATABASE), Strike(KILLED, KAFKA)]
        dice.shuffle(cards)
        yield from cards


def _freeze(dice: random.Random, seats: Sequence[str]) -> Strike:
    # Shorter than a worker waits for the mail server, or nobody could say which answers were heard.
    seat = dice.choice(seats)
    return Strike(FROZEN, seat, round(dice.uniform(0.5, 3.0 if seat == MAIL else 9.0), 1))
