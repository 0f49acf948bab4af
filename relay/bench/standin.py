"""A stand-in for a relay that publishes nothing: in this process, it reads and records with the relay's own classes.

For positions as a relay would have recorded them, and for what one of its idle polls costs, without the minutes that
publishing takes. Guarantees: what it records is safe with its floor, in the order that `relay.reading.checkpoint` asks
for. It holds no lease: no relay may run meanwhile.
"""

import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime

import psycopg

from relay.bench.ground import Outbox, settle
from relay.configuration.settings import Settings
from relay.connection import connect
from relay.message import Position
from relay.reading.checkpoint import Checkpoints
from relay.reading.progress import floor_is_old
from relay.reading.reader import Reader

SHARDS = """
-- shard_count
select outbox.shard_count()
"""

NOW = """
-- now
select clock_timestamp()
"""

GO_BACK = """
-- go_back: as if no checkpoint had been appended since
delete from outbox.checkpoint where sent_at > %(moment)s
"""


class StandIn:
    """The relay's reader and its record of an outbox, without leases and Kafka.

    Args:
        recording: a session for checkpoints.
        reading: a session for reads.
    """

    def __init__(self, recording: "psycopg.Connection", reading: "psycopg.Connection") -> None:
        usual = Settings()
        self._recording = recording
        self._reader = Reader(reading, rows=usual.page_rows, size=usual.page_bytes)
        self._checkpoints = Checkpoints(recording)
        self.reload()

    def reload(self) -> None:
        """Begin from what is recorded."""
        ((shards,),) = self._recording.execute(SHARDS).fetchall()
        self._positions: dict[int, Position] = self._checkpoints.load(range(shards))

    def poll(self) -> float:
        """Look as an idle relay does, at all shards; return the seconds of the read. Nothing may be due."""
        began = time.perf_counter()
        page = self._reader.read(self._positions, self._checkpoints.floor)
        seconds = time.perf_counter() - began
        assert not page.count, "messages are due where none were expected"
        self._positions = dict(page.after)
        if floor_is_old(page.sequence, self._checkpoints.floor):
            self.record()
        return seconds

    def polls(self, count: int) -> float:
        """Return the median of the seconds of some polls, once the positions have settled."""
        for _ in range(5):
            self.poll()
        return statistics.median(self.poll() for _ in range(count))

    def record(self) -> None:
        """Append a checkpoint of every shard, as after sending; it renews the floor for later reads."""
        self._checkpoints.append(self._positions, {})

    def skip(self) -> None:
        """Record everything committed as sent."""
        self.record()
        page = self._reader.read(self._positions, self._checkpoints.floor, rows=1)
        self._positions = {shard: Position(page.horizon) for shard in self._positions}
        self.record()


@contextmanager
def stand_in(outbox: Outbox) -> Iterator[StandIn]:
    """Give a stand-in for a relay on an outbox that has none."""
    with connect(outbox.database_url, "bench") as recording, connect(outbox.database_url, "bench") as reading:
        yield StandIn(recording, reading)


def moment(outbox: Outbox) -> datetime:
    """Return now, by the server's clock, for `go_back`."""
    with outbox.connect() as connection:
        ((now,),) = connection.execute(NOW).fetchall()
    assert isinstance(now, datetime)
    return now


def go_back(outbox: Outbox, to: datetime) -> None:
    """Forget what was recorded since a moment, so that one backlog serves several drains. No relay may be running."""
    with outbox.connect() as connection:
        connection.execute(GO_BACK, {"moment": to})
        settle(connection)
