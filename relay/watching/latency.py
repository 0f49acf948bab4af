"""How long messages take from `created_at` to Kafka's acknowledgement: a histogram that costs the hot path little.

To read each time of 100,000 a second would cost as much as sending the messages. But the times of a page, as the text
that the database wrote, sort as they are, nearly sorted already; then each bucket's bound is looked up once. So the
counts are exact. The sum is exact for up to `READ` messages at once, else told from about as many, evenly chosen.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import chain
from operator import itemgetter

from relay.message import Row

BOUNDS = (0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1_800, 7_200)
"""Seconds: from a doorbell's answer to an outage's backlog."""

READ = 32
"""Of how many messages at once the time is read, about; of a shard's share, where they are many, of a few."""

FEW = 2_000
"""Of fewer messages the shards are taken together."""

_created_at = itemgetter(9)


class Latency:
    """Counts of messages by how long they took."""

    def __init__(self) -> None:
        self.counts = [0] * (len(BOUNDS) + 1)
        """Of messages that took no longer than each bound and longer than the one before; the last, of all others."""
        self.sum = 0.0

    def observe(self, shards: Sequence[Sequence[Row]], now: float) -> None:
        """Take note of messages that were acknowledged.

        Args:
            shards: the messages of each shard.
            now: the time by the database's clock, in seconds since 1970.
        """
        moment = datetime.fromtimestamp(now, UTC)
        # From the longest ago to now, as the times of the messages are.
        bounds = [_written(moment - timedelta(seconds=bound)) for bound in reversed(BOUNDS)]
        # A shard at a time, as long as that is worth it: each is nearly sorted, all of them together are not.
        few = sum(map(len, shards)) < FEW
        lists = [list(chain.from_iterable(shards))] if few else shards
        for rows in lists:
            if rows:
                self._observe(sorted(map(_created_at, rows)), bounds, now, READ // len(lists) + 1)

    def _observe(self, created: list[str], bounds: list[str], now: float, read: int) -> None:
        # Most pages lie between two bounds as a whole: only those in between are looked up.
        first, last, left = bisect_right(bounds, created[0]), bisect_right(bounds, created[-1]), 0
        for place in range(first, last + 1):
            right = bisect_left(created, bounds[place]) if place < last else len(created)
            self.counts[len(BOUNDS) - place] += right - left
            left = right
        step = (len(created) - 1) // read + 1
        some = created[(step - 1) // 2 :: step]
        # A clock that runs ahead would take something off the sum, which only ever grows.
        mean = sum(max(0.0, now - datetime.fromisoformat(at[1:-1]).timestamp()) for at in some) / len(some)
        self.sum += mean * len(created)


def _written(moment: datetime) -> str:
    """Write a time as PostgreSQL's `to_json` does, in UTC; that is how messages have theirs."""
    whole, _, fraction = moment.replace(tzinfo=None).isoformat().partition(".")
    return f'"{whole}.{fraction.rstrip("0")}+00:00"' if fraction else f'"{whole}+00:00"'
