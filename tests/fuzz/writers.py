"""Concurrent writers of the outbox: late commits, savepoints, rollbacks, early xids, COPY, bulk and two-phase commits.

Every transaction locks its key before it draws a number, as an application locks its aggregate; for those keys the
order of `seq` is the order of commits, and the order in which messages must arrive. Keys that begin with "free" are
written without a lock and have no order.
"""

import random
import threading
import time
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import psycopg

INSERT = "insert into outbox.message (topic, key, payload) values (%s, %s, %s)"
LOCK = "select pg_advisory_xact_lock(hashtextextended(%s, 7))"

Connection = psycopg.Connection[tuple[object, ...]]
Write = Callable[[Connection, random.Random], int]
"""Does one transaction, and returns how many rows it has written."""


class Writers:
    """A crowd of writers on threads, each with a session of its own.

    Args:
        database_url: where to write.
        topic: what to write to.
        seed: decides what each writer does; when it does it is up to the threads.
        rows: stop after about so many rows.
        count: how many writers.
        pause: seconds between two transactions of a writer.
        synchronous_commit: as an application may set it.
        stubborn: whether a writer that loses its session opens another and goes on.
    """

    def __init__(
        self,
        database_url: str,
        topic: str,
        seed: int,
        rows: int,
        count: int = 11,
        *,
        pause: float = 0.0,
        synchronous_commit: str = "on",
        stubborn: bool = False,
    ) -> None:
        self._url = database_url
        self._topic = topic
        self._seed = seed
        self._left = rows
        self._pause = pause
        self._options = f"-c synchronous_commit={synchronous_commit}"
        self._stubborn = stubborn
        self._lock = threading.Lock()
        self._pool = ThreadPoolExecutor(count)
        self._futures = [self._pool.submit(self._write, number) for number in range(count)]

    @property
    def busy(self) -> bool:
        """Whether any writer is still at work."""
        return not all(future.done() for future in self._futures)

    def stop(self) -> None:
        """Let each writer finish what it is at, and wait for all; raise what went wrong in any."""
        self._take(self._left)
        self.join()

    def join(self) -> None:
        """Wait for all writers; raise what went wrong in any."""
        for future in self._futures:
            future.result()
        self._pool.shutdown()

    def _take(self, rows: int) -> bool:
        with self._lock:
            self._left -= rows
            return self._left > 0

    def _write(self, number: int) -> None:
        random_ = random.Random(f"{self._seed}-{number}")
        kinds = self._kinds()
        while True:
            try:
                with psycopg.connect(self._url, options=self._options) as connection:
                    while self._take(self._do(random_.choice(kinds), connection, random_)):
                        time.sleep(self._pause)
                    return
            except psycopg.OperationalError:
                if not self._stubborn:
                    raise
                time.sleep(0.1)
                if not self._take(0):
                    return

    def _do(self, write: Write, connection: Connection, random_: random.Random) -> int:
        try:
            return write(connection, random_)
        except psycopg.errors.DeadlockDetected:
            # Two that lock several keys may meet; who is chosen to give way has written nothing.
            connection.rollback()
            return 0

    def _kinds(self) -> list[Write]:
        """What a writer chooses from, again and again."""
        return [
            *[self._plain] * 8,
            *[self._late] * 3,
            *[self._early_xid] * 3,
            *[self._savepoint] * 2,
            *[self._rolled_back] * 2,
            self._copied,
            self._two_phase,
            self._bulk,
        ]

    def _key(self, random_: random.Random) -> str:
        return f"{random_.choice(['locked', 'locked', 'free'])}-{random_.randrange(40)}"

    def _insert(self, connection: Connection, random_: random.Random, most: int) -> int:
        key, rows = self._key(random_), random_.randint(1, most)
        if key.startswith("locked"):
            connection.execute(LOCK, (key,))
        connection.cursor().executemany(INSERT, [(self._topic, key, b"x" * random_.randrange(300))] * rows)
        return rows

    def _plain(self, connection: Connection, random_: random.Random) -> int:
        rows = self._insert(connection, random_, 12)
        connection.commit()
        return rows

    def _late(self, connection: Connection, random_: random.Random) -> int:
        rows = self._insert(connection, random_, 12)
        time.sleep(random_.choice([0.002, 0.01, 0.05]))
        connection.commit()
        return rows

    def _early_xid(self, connection: Connection, random_: random.Random) -> int:
        connection.execute("select pg_current_xact_id()")
        time.sleep(random_.choice([0.001, 0.005, 0.02]))
        return self._plain(connection, random_)

    def _savepoint(self, connection: Connection, random_: random.Random) -> int:
        rows = self._insert(connection, random_, 6)
        connection.execute("savepoint s")
        self._insert(connection, random_, 6)
        if random_.random() < 0.5:
            connection.execute("rollback to s")
        rows += self._insert(connection, random_, 6) if random_.random() < 0.5 else 0
        connection.commit()
        return rows

    def _rolled_back(self, connection: Connection, random_: random.Random) -> int:
        self._insert(connection, random_, 12)
        time.sleep(random_.choice([0, 0.003]))
        connection.rollback()
        return 0

    def _copied(self, connection: Connection, random_: random.Random) -> int:
        key = self._key(random_)
        connection.execute(LOCK, (key,))
        with connection.cursor().copy("copy outbox.message (topic, key, payload) from stdin") as copy:
            for _ in range(60):
                copy.write_row((self._topic, key, b"copied"))
        connection.commit()
        return 60

    def _two_phase(self, connection: Connection, random_: random.Random) -> int:
        connection.execute("set local outbox.doorbell = off")
        key = self._key(random_)
        if key.startswith("locked"):
            key = key.replace("locked", "free")
        connection.execute(INSERT, (self._topic, key, b"prepared"))
        name = str(uuid.uuid4())
        connection.execute(f"prepare transaction '{name}'".encode())
        connection.commit()
        time.sleep(random_.choice([0, 0.01]))
        connection.autocommit = True
        connection.execute(f"{random_.choice(['commit', 'rollback'])} prepared '{name}'".encode())
        connection.autocommit = False
        return 1

    def _bulk(self, connection: Connection, random_: random.Random) -> int:
        connection.execute(
            "insert into outbox.message (topic, key, payload) "
            "select %s, 'free-bulk-' || n %% 7, 'bulk' from generate_series(1, %s) n",
            (self._topic, rows := random_.choice([200, 1000])),
        )
        time.sleep(random_.choice([0, 0.02]))
        connection.commit()
        return rows


def committed(database_url: str, topic: str) -> list[tuple[str, str]]:
    """All committed messages, in the order of writing: id and key."""
    with psycopg.connect(database_url) as connection:
        return connection.execute(
            "select id::text, key from outbox.message where topic = %s order by seq", (topic,)
        ).fetchall()


def settle_prepared(database_url: str) -> None:
    """Commit the prepared transactions that a crash has left, as their coordinator would."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        for (name,) in connection.execute("select gid from pg_prepared_xacts where database = current_database()"):
            connection.execute(f"commit prepared '{name}'".encode())
