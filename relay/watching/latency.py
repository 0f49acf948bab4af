"""How long messages take from `created_at` to Kafka's acknowledgement: a histogram that costs the hot path little.

To read each time of 100,000 a second would cost as much as sending the messages. But the times of a page, as the text
that the database wrote, sort as they are, nearly sorted already; then each bucket's bound is looked up once. So the
counts are exact. The sum is exact for a page of up to `READ` messages, else told from as many of them, evenly chosen.
"""

from bisect import bisect_left
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from itertools import chain
from operator import itemgetter

from relay.message import Row

BOUNDS = (0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1_800, 7_200)
"""Seconds: from a doorbell's answer to an outage's backlog."""

READ = 32
"""Of how many messages of a page the time is read."""

_created_at = itemgetter(9)


class Latency:
    """Counts of messages by how long they took."""

    def __init__(self) -> None:
        self.counts = [0] * len(BOUNDS)
        """Of messages that took no longer than each bound."""
        self.count = 0
        self.sum = 0.0

    def observe(self, rows: Iterable[Iterable[Row]], now: float) -> None:
        """Take note of messages that were acknowledged.

        Args:
            rows: the messages.
            now: the time by the database's clock, in seconds since 1970.
        """
        created = sorted(map(_created_at, chain.from_iterable(rows)))
        if not created:
            return
        count, moment = len(created), datetime.fromtimestamp(now, UTC)
        for place, bound in enumerate(BOUNDS):
            self.counts[place] += count - bisect_left(created, _written(moment - timedelta(seconds=bound)))
        some = created[(count - 1) // READ // 2 :: (count - 1) // READ + 1]
        # A clock that runs ahead would take something off the sum, which only ever grows.
        mean = sum(max(0.0, now - datetime.fromisoformat(at[1:-1]).timestamp()) for at in some) / len(some)
        self.sum += mean * count
        self.count += count


def _written(moment: datetime) -> str:
    """Write a time as PostgreSQL's `to_json` does, in UTC; that is how messages have theirs."""
    return f'"{moment.isoformat()}"'
