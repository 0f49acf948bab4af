"""Relays reduced to what the floor rule is about: reading, checkpointing and handing over, with Kafka left out.

Several readers share the shards, read tiny pages, checkpoint at random moments, and hand shards to one another in the
middle of a difference. The ways to break the floor rule on purpose are here as subclasses, so that the test can show
that it would notice.
"""

import random
import time
from collections import Counter
from typing import Any

from relay.connection import connect
from relay.message import Horizon, Position
from relay.reading.checkpoint import APPEND_CHECKPOINTS, READ_FLOOR, Checkpoints
from relay.reading.progress import Progress
from relay.reading.reader import Reader


class Honest(Checkpoints):
    """The product's own, whose commits write something else first, as a hold will."""

    scribble = False

    def safe_floor(self) -> int:
        """The floor for a snapshot that is taken from now on."""
        return self.floor

    def _commit(self, parameters: dict[str, Any]) -> list[Any]:
        if not self.scribble:
            return super()._commit(parameters)
        with self._connection.transaction():
            self._connection.execute("select pg_logical_emit_message(true, 'outbox', 'written first')")
            time.sleep(0.002)
            return super()._commit(parameters)


class SnapshotBeforeTheFloorsTransaction(Honest):
    """Broken: pairs a snapshot with a floor read just before it, no transaction in between."""

    def safe_floor(self) -> int:
        return self._number(READ_FLOOR)


class XidOlderThanTheFloor(Honest):
    """Broken: reads the floor inside the transaction that appends, whose xid is older."""

    def append(self, positions: Any, sent: Any, also: Any = None) -> None:
        super().append(positions, sent, also)
        self.floor = self.read_inside

    def _commit(self, parameters: dict[str, Any]) -> list[Any]:
        with self._connection.transaction():
            self._connection.execute("select pg_current_xact_id()")
            time.sleep(0.005)
            self.read_inside = self._number(READ_FLOOR)
            return self._connection.execute(APPEND_CHECKPOINTS, parameters).fetchall()


class NewFloorWithOldSeen(Honest):
    """Broken: after a handover, the floor of the difference under way is taken for that of what is done."""

    def load(self, shards: Any) -> dict[int, Position]:
        return {
            shard: Position(
                Horizon(at.seen.snapshot, at.target.floor if at.target else at.seen.floor), at.target, at.upto
            )
            for shard, at in super().load(shards).items()
        }


class Relayed:
    """What came out, in order."""

    def __init__(self) -> None:
        self.ids: list[tuple[str, str | None]] = []

    def judge(self, committed: list[tuple[str, str]]) -> dict[str, int]:
        """Compare with what was committed; all counts are 0 when every promise held."""
        times = Counter(id_ for id_, _ in self.ids)
        expected = {id_ for id_, _ in committed}
        place = {id_: number for number, (id_, _) in enumerate(committed)}
        newest: dict[str, int] = {}
        disorder = 0
        for id_, key in self.ids:
            if key and key.startswith("locked") and id_ in place:
                disorder += place[id_] < newest.get(key, -1)
                newest[key] = max(newest.get(key, -1), place[id_])
        return {
            "lost": len(expected - times.keys()),
            "phantom": len(times.keys() - expected),
            "twice": sum(1 for count in times.values() if count > 1),
            "out of order": disorder,
        }


class Party:
    """One reader of the several that share the shards."""

    def __init__(self, database_url: str, checkpoints: type[Honest], random_: random.Random, relayed: Relayed) -> None:
        self.checkpoints = checkpoints(connect(database_url, "fuzz"))
        self.reader = Reader(connect(database_url, "fuzz"), rows=random_.choice([16, 60, 400]), size=1 << 20)
        self.progress = Progress()
        self._random = random_
        self._relayed = relayed

    def close(self) -> None:
        """Close both sessions."""
        self.checkpoints._connection.close()
        self.reader.close()

    def step(self) -> int:
        """Read a page and take it as published, now and then checkpoint; return how many messages came."""
        if not self.progress.positions:
            return 0
        page = self.reader.read(
            self.progress.positions, self.checkpoints.safe_floor(), rows=self._random.choice([None, 1, 7, 50])
        )
        for rows in page.rows.values():
            self._relayed.ids += [(row[2], row[4]) for row in rows]
        self.progress.settle(page, {}, {})
        if self._random.random() < 0.3:
            self.record()
        return page.count

    def record(self) -> None:
        """Checkpoint all shards in one commit, sometimes one that writes something else first."""
        if self.progress.positions:
            self.checkpoints.scribble = self._random.random() < 0.5
            self.checkpoints.append(self.progress.positions, self.progress.unrecorded)
            self.progress.recorded(0.0)

    def hand_over(self, other: "Party", shards: list[int]) -> None:
        """Let another go on with some shards, from the table alone."""
        self.record()
        self.checkpoints.drop(shards)
        self.progress.drop(shards)
        other.progress.add(other.checkpoints.load(shards))


class Parties:
    """Some readers with all the shards among them."""

    def __init__(self, database_url: str, checkpoints: type[Honest], seed: int) -> None:
        self._random = random.Random(f"{seed}-parties")
        self.relayed = Relayed()
        self._url, self._checkpoints = database_url, checkpoints
        self._joined: list[Party] = []
        self._parties = [self._join() for _ in range(2)]
        self._parties[0].progress.add(self._parties[0].checkpoints.load(range(16)))

    def _join(self) -> Party:
        self._joined.append(Party(self._url, self._checkpoints, self._random, self.relayed))
        return self._joined[-1]

    def close(self) -> None:
        """Close all sessions, also of those that never came to hold a shard."""
        for party in self._joined:
            party.close()

    def step(self) -> int:
        """Let one read, and now and then hand shards over or put a new party in the place of an old one."""
        party = self._random.choice(self._parties)
        came = party.step()
        chance = self._random.random()
        held = sorted(party.progress.positions)
        if chance < 0.1:
            other = self._random.choice([each for each in self._parties if each is not party])
            party.hand_over(other, [shard for shard in held if self._random.random() < 0.5])
        elif chance < 0.12:
            successor = self._join()
            party.hand_over(successor, held)
            self._parties[self._parties.index(party)] = successor
            party.close()
        return came

    def drain(self) -> None:
        """Read until nothing comes from anyone any more."""
        for party in self._parties:
            idle = 0
            while idle < 3:
                idle = 0 if party.step() else idle + 1
