"""Which topics may go, and how fast: what operators and settings say, kept in messages and moments. Pure.

Guarantees: nothing of a paused topic is let through; of a limited one, over any time, no more than its rate and a burst
of a quarter of a second. A relay has of a rate the share that it has of the shards, so that all relays together keep it
and need not speak to each other; a topic whose keys all are in few shards goes slower than its rate may be.
"""

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from relay.message import Row

BURST_SECONDS = 0.25
"""So much of a rate may gather while nothing is sent."""

GATHER_SECONDS = 0.1
"""A topic that is behind is read again once so much of its rate has gathered: one message at a time would cost a read
and a journey to Kafka each."""


@dataclass(frozen=True, slots=True)
class Rules:
    """What operators have said of topics, and the newest act of theirs in it."""

    act: int = 0
    paused: frozenset[str] = frozenset()
    rates: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))
    """Messages a second of all relays together."""


class Flow:
    """Lets messages of one relay through.

    Args:
        rates: those of the settings; what operators say goes before them.
        clock: seconds that only go forward.
    """

    def __init__(
        self, rates: Mapping[str, float] = MappingProxyType({}), clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._set = dict(rates)
        self._clock = clock
        self._rates = dict(rates)
        self._left: dict[str, tuple[float, float]] = {}
        """How many messages of a limited topic may go, as of when."""
        self._share = 0.0
        self.rules = Rules()

    @property
    def governs(self) -> bool:
        """Whether anything is paused or limited."""
        return bool(self.rules.paused or self._rates)

    def adopt(self, rules: Rules) -> None:
        """Go by what operators say now."""
        self.rules = rules
        self._rates = {**self._set, **rules.rates}
        self._left = {topic: left for topic, left in self._left.items() if topic in self._rates}

    def hold_share(self, shards: int, of: int) -> None:
        """Take note of how many of all shards this relay has."""
        for topic in list(self._left):
            self._gathered(topic)
        self._share = shards / of

    def room(self, topic: str) -> int | None:
        """How many messages of a topic may go now; None for as many as there are."""
        if topic in self.rules.paused:
            return 0
        return int(self._gathered(topic)) if topic in self._rates else None

    def worth_a_read(self, topic: str) -> int | None:
        """The same of a topic that is behind; 0 as long as it is not worth the while."""
        room = self.room(topic)
        return 0 if room and room < self._portion(topic, GATHER_SECONDS) else room

    def seconds_until(self, topic: str) -> float:
        """Until a topic that is behind may go on; infinity for one that is paused."""
        if topic in self.rules.paused:
            return float("inf")
        if topic not in self._rates:
            return 0.0
        missing = self._portion(topic, GATHER_SECONDS) - self._gathered(topic)
        pace = self._rates[topic] * self._share
        return max(0.0, missing / pace) if pace else float("inf")

    def took(self, topic: str, messages: int) -> None:
        """Take note that messages of a topic go."""
        if messages and topic in self._rates:
            self._left[topic] = (self._gathered(topic) - messages, self._clock())

    def stopped(self, topics: Iterable[str]) -> list[str]:
        """Those of some topics of which nothing may go now, and all that are paused."""
        return sorted(self.rules.paused | {topic for topic in topics if self.room(topic) == 0})

    @property
    def limited(self) -> frozenset[str]:
        """The topics that have a rate."""
        return frozenset(self._rates)

    def part(self, rows: Iterable[Row], shut: Iterable[str] = ()) -> tuple[list[Row], list[Row]]:
        """Part messages into those that may go now, which are counted, and those that may not.

        Args:
            rows: in their order; of a topic, what comes behind one that may not go may not either.
            shut: topics of which nothing may go in any case.
        """
        room: dict[str, int | None] = dict.fromkeys(shut, 0)
        going: list[Row] = []
        passed: list[Row] = []
        for row in rows:
            topic = row[3]
            left = room[topic] if topic in room else self.room(topic)
            if left is None or left > 0:
                going.append(row)
                self.took(topic, 1)
                left = None if left is None else left - 1
            else:
                passed.append(row)
            room[topic] = left
        return going, passed

    def _gathered(self, topic: str) -> float:
        now = self._clock()
        left, since = self._left.get(topic, (0.0, now))
        left = min(self._portion(topic, BURST_SECONDS), left + self._rates[topic] * self._share * (now - since))
        self._left[topic] = (left, now)
        return left

    def _portion(self, topic: str, seconds: float) -> float:
        return max(1.0, self._rates[topic] * self._share * seconds)
