"""Topics that are not as far as the others of their shard: paused, or over their rate. Decides; does no I/O.

Such a topic has a position of its own in each shard that has some of it: its trail. The shard's own position goes on
and passes over the topic's messages, which are not copied anywhere, however many there are; of the topic its trail
alone counts. Where a trail may be followed, the difference between it and where the shard's position stands is read for
that topic alone; it ends when both stand at the same place.

Guarantees: no trail begins behind a message that was not settled; a trail never goes back; every checkpoint of a shard
says how far each of its topics is, so that nobody can take a shard over and pass what was passed over.
"""

import json
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from relay.message import Horizon, Page, Position


@dataclass(slots=True)
class Trails:
    """The trails of a relay's shards."""

    of: dict[int, dict[str, Position]] = field(default_factory=dict)
    """By shard, then by topic; shards without any are not in it."""
    ended: set[int] = field(default_factory=set)
    """Shards in which a topic has caught up, until somebody has taken note."""

    def __bool__(self) -> bool:
        return bool(self.of)

    @property
    def topics(self) -> frozenset[str]:
        """Which topics have any."""
        return frozenset(topic for trails in self.of.values() for topic in trails)

    def has(self, shard: int, topic: str) -> bool:
        """Whether a topic is not as far as its shard."""
        return topic in self.of.get(shard, ())

    def begin(self, page: Page, passed: Mapping[tuple[int, str], int], stuck: Mapping[int, int]) -> frozenset[int]:
        """Begin trails where messages of a page were passed over.

        Args:
            page: the page.
            passed: for each shard and topic, the number of the first message that was passed over.
            stuck: for each shard of which not all was settled, the number of the first message that was not: what comes
                behind it is read once more.

        Returns:
            The shards in which a trail has begun.
        """
        begun = {
            (shard, topic): first for (shard, topic), first in passed.items() if first < stuck.get(shard, first + 1)
        }
        for (shard, topic), first in begun.items():
            self.of.setdefault(shard, {})[topic] = page.before_number(shard, first)
        return frozenset(shard for shard, _ in begun)

    def follow(self, topic: str, main: Mapping[int, Position]) -> dict[int, Position]:
        """Where to read a topic from, and up to what; what has caught up with its shard is a trail no more.

        Args:
            topic: of which.
            main: where the shards stand.
        """
        found = {}
        for shard in [shard for shard, trails in self.of.items() if topic in trails]:
            at, ahead = self.of[shard][topic], main[shard]
            if at == ahead:
                self._end(shard, topic)
            elif at.target is not None:
                found[shard] = at
            elif older(at.seen, ahead.seen):
                found[shard] = Position(at.seen, ahead.seen)
            elif at.seen == ahead.seen and ahead.target is not None:
                found[shard] = Position(at.seen, ahead.target)
            # Else it has finished the difference that its shard is still in the middle of.
        return found

    def move(self, topic: str, page: Page, stuck: Mapping[int, int], main: Mapping[int, Position]) -> None:
        """Move behind what was settled of a page of a topic's own."""
        for shard, after in page.after.items():
            self.of[shard][topic] = page.before_number(shard, stuck[shard]) if shard in stuck else after
            # At once, for the shard may have gone on before anyone looks again, and again.
            if self.of[shard][topic] == main[shard]:
                self._end(shard, topic)

    def passes(self, shard: int, topic: str, number: int) -> bool:
        """Whether a message of a topic may still stand behind older ones of it that are not sent."""
        at = self.of.get(shard, {}).get(topic)
        return at is not None and number > max(at.seen.floor, at.upto)

    def drop(self, shards: Collection[int]) -> None:
        """Forget shards that are ours no more."""
        for shard in shards:
            self.of.pop(shard, None)
            self.ended.discard(shard)

    def _end(self, shard: int, topic: str) -> None:
        self.ended.add(shard)
        del self.of[shard][topic]
        if not self.of[shard]:
            del self.of[shard]

    def furthest_behind(self, shard: int, main: Position) -> Position:
        """A position all of which is sent, of every topic of a shard."""
        trails = self.of.get(shard)
        if not trails:
            return main
        every = [main, *trails.values()]
        oldest = min((at.seen for at in every), key=_age)
        same = [at for at in every if at.seen == oldest]
        # Two that are under way in the same difference have a common part; else the beginning of the oldest is sure.
        if len(same) == len(every) and all(at.target is not None and at.target == same[0].target for at in same):
            return min(same, key=lambda at: at.upto)
        return Position(oldest)

    def written(self, shard: int, main: Position) -> str | None:
        """The same in full, as it is recorded (`outbox.checkpoint.ahead`); None where every topic is as far."""
        trails = self.of.get(shard)
        if not trails:
            return None
        behind = {topic: _write(at) for topic, at in trails.items()}
        return json.dumps({"main": _write(main), "behind": behind})

    def read(self, shard: int, ahead: Any) -> Position:
        """Take up the trails of a shard as they were recorded; return where the shard stands."""
        self.of[shard] = {topic: _read(at) for topic, at in ahead["behind"].items()}
        return _read(ahead["main"])


def older(one: Horizon, other: Horizon) -> bool:
    """Whether a horizon was taken before another one of the same cluster."""
    return _age(one) < _age(other)


def _age(at: Horizon) -> tuple[int, int, int, int]:
    """A number that grows with each later snapshot: what is visible only ever grows (`xmin:xmax:xip_list`)."""
    xmin, xmax, running = at.snapshot.split(":")
    return int(xmax), int(xmin), -len(running.split(",")) if running else 0, at.floor


def floors(main: Position, trails: Collection[Position]) -> Iterator[int]:
    """The floors of all horizons of some positions."""
    for at in (main, *trails):
        yield at.seen.floor
        if at.target is not None:
            yield at.target.floor


def _write(at: Position) -> dict[str, Any]:
    return {
        "seen": at.seen.snapshot,
        "floor": at.seen.floor,
        "target": at.target and at.target.snapshot,
        "target_floor": at.target and at.target.floor,
        "upto": at.upto,
    }


def _read(value: Any) -> Position:
    target = None if value["target"] is None else Horizon(value["target"], value["target_floor"])
    return Position(Horizon(value["seen"], value["floor"]), target, value["upto"])
