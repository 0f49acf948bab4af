"""Somebody who prunes at every moment, with nothing kept longer than needed, and a ledger of what was ever committed.

The way to break pruning on purpose is here as a subclass, so that the tests can show that they would notice.
"""

import random
import threading
from collections import Counter

import psycopg
from psycopg import errors

from relay.connection import connect
from relay.retention.ring import SLOTS, Look, Ring
from relay.retention.thinning import Thinning

KEEP_LEDGER = """
create table ledger (seq bigint, id uuid, topic text, key text);
create function note() returns trigger language plpgsql as $function$
begin
    insert into public.ledger values (new.seq, new.id, new.topic, new.key);
    return null;
end
$function$;
create trigger note after insert on outbox.message for each row execute function note();
"""


def keep_ledger(database_url: str) -> None:
    """Note every message elsewhere in its own transaction, for the table of messages forgets."""
    with psycopg.connect(database_url) as connection:
        connection.execute(KEEP_LEDGER)


def ever_committed(database_url: str, topic: str) -> list[tuple[str, str]]:
    """All messages that were ever committed, in the order of writing: id and key."""
    with psycopg.connect(database_url) as connection:
        return connection.execute("select id::text, key from ledger where topic = %s order by seq", (topic,)).fetchall()


class TrustsItsFirstLook(Ring):
    """Broken: the snapshot of the check that decides is taken before the lock is had."""

    def _came_since(self, slot: int, looked: Look) -> bool:  # noqa: ARG002 - as in the ring itself
        return False


class Pruner:
    """Rotates, empties and deletes at random moments on a thread of its own.

    Args:
        database_url: where.
        ring: how slots are emptied.
        seed: decides what is done next.
    """

    def __init__(self, database_url: str, ring: type[Ring], seed: int) -> None:
        self.done: Counter[str] = Counter()
        self._random = random.Random(f"{seed}-pruner")
        self._connection = connect(database_url, "fuzz pruner")
        self._ring = ring(self._connection)
        self._over = threading.Event()
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._work)
        self._thread.start()

    def stop(self) -> None:
        """End it; raise what went wrong."""
        self._over.set()
        self._thread.join()
        self._connection.close()
        if self._failure:
            raise self._failure

    def _work(self) -> None:
        try:
            while not self._over.wait(self._random.choice([0, 0.001, 0.01])):
                self._act()
        except BaseException as failure:  # noqa: BLE001 - told to whoever stops it
            self._failure = failure

    def _act(self) -> None:
        chance = self._random.random()
        if chance < 0.1:
            self._rotate()
        elif chance < 0.95:
            self._empty()
        else:
            thinned = Thinning(self._connection, 0).delete(lambda: False)
            self.done["checkpoints deleted"] += thinned.checkpoints
            self.done["snapshots deleted"] += thinned.snapshots or 0

    def _rotate(self) -> None:
        """Now and then to any slot, empty or not: where new rows go has no part in what is right."""
        empty = [slot.number for slot in self._ring.read() if slot.empty]
        self._ring.rotate(self._random.choice(empty) if empty else self._random.randrange(SLOTS))
        self.done["rotated"] += 1

    def _empty(self) -> None:
        """The one that was left longest ago, or any, also today's while it is written to."""
        full = [slot for slot in self._ring.read() if not slot.empty]
        if not full:
            return
        oldest = max(full, key=lambda slot: (not slot.today, slot.age or 0))
        slot = (oldest if self._random.random() < 0.6 else self._random.choice(full)).number
        looked = self._ring.look(slot, self._ring.positions(None))
        if looked.due:
            self.done["left alone"] += 1
            return
        try:
            self.done["emptied" if self._ring.empty(slot, looked) else "came since"] += 1
        except errors.LockNotAvailable:
            self.done["busy"] += 1
