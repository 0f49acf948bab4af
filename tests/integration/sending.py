"""A relay without Kafka: it reads what is due, takes it as published and records it."""

import psycopg

from relay.connection import connect
from relay.message import Row
from relay.reading.checkpoint import Checkpoints
from relay.reading.reader import Reader

Connection = psycopg.Connection[tuple[object, ...]]


class Sender:
    """Sends everything that is due, on sessions of its own.

    Args:
        database_url: an outbox.
        rows: how many messages a page may have.
    """

    def __init__(self, database_url: str, rows: int = 10_000) -> None:
        self._session = connect(database_url, "sender")
        self._reader = Reader(connect(database_url, "sender"), rows=rows, size=1 << 30)
        self.checkpoints = Checkpoints(self._session)
        self.positions = self.checkpoints.load(range(16))
        # As a relay does when it takes shards up: that makes a floor of now.
        self.checkpoints.append(self.positions, {})
        self.sent: list[Row] = []

    def page(self) -> bool:
        """Read, take as published and record one page; return whether nothing was due behind it."""
        page = self._reader.read(self.positions, self.checkpoints.floor)
        self.positions |= page.after
        self.sent += [row for rows in page.rows.values() for row in rows]
        moved = {shard: self.positions[shard] for shard in page.rows}
        if moved:
            self.checkpoints.append(moved, {shard: len(rows) for shard, rows in page.rows.items()})
        return page.exhausted

    def all(self) -> None:
        """Send all that is due."""
        while not self.page():
            pass

    def close(self) -> None:
        """End the sessions."""
        self._reader.close()
        self._session.close()


def send_all(database_url: str) -> None:
    """Send all that is due, as a relay that comes and goes would."""
    sender = Sender(database_url)
    sender.all()
    sender.close()


def enqueue(connection: Connection, count: int = 1, size: int = 10) -> None:
    """Write messages with some keys."""
    connection.execute(
        "insert into outbox.message (topic, key, payload) "
        "select 't', (n %% 100)::text, convert_to(repeat('x', %s), 'UTF8') from generate_series(1, %s) as n",
        (size, count),
    )


def pass_time(connection: Connection, interval: str) -> None:
    """Let all that has been recorded so far be as much older."""
    for table, column in (
        ("checkpoint", "sent_at"),
        ("rotation", "at"),
        ("held", "held_at"),
        ("held", "settled_at"),
        ("snapshot", "created_at"),
    ):
        connection.execute(f"update outbox.{table} set {column} = {column} - %s::interval".encode(), (interval,))


def number(connection: Connection, statement: str) -> int:
    """The whole number that a statement answers with."""
    row = connection.execute(statement.encode()).fetchone()
    assert row is not None
    return int(str(row[0]))
