"""Relays that prune, with nothing kept longer than needed, are killed while somebody else empties slots too."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import psycopg
import pytest

from relay.retention.ring import Ring
from tests.faults.world import World, wait_until
from tests.fuzz.pruning import Pruner, ever_committed, keep_ledger
from tests.fuzz.writers import Writers, settle_prepared


class Remembering(World):
    """A world with a ledger of its own, for its table of messages forgets."""

    def committed(self) -> list[tuple[str, str, str | None]]:
        """All that must arrive, also what is long gone from the table."""
        settle_prepared(self.database_url)
        rows = ever_committed(self.database_url, self.topic)
        return [(id_, self.topic, key if key.startswith("locked") else None) for id_, key in rows]


@pytest.fixture
def here(database: str, kafka_brokers: str, topic: str, tmp_path: Path) -> Iterator[Remembering]:
    keep_ledger(database)
    made = Remembering(database, kafka_brokers, topic, tmp_path)
    yield made
    made.close()


def left(database_url: str) -> int:
    with psycopg.connect(database_url) as connection:
        row = connection.execute("select count(*) from outbox.message").fetchone()
    assert row is not None
    return int(row[0])


def has_emptied(pruner: Pruner, slots: int) -> bool:
    return pruner.done["emptied"] >= slots


@pytest.mark.timeout(300)
@pytest.mark.parametrize("kills", [0, 6])
def test_pruning_by_everybody_at_once_loses_and_reorders_nothing(here: Remembering, kills: int) -> None:
    with here.judged() as judge:
        relays = [here.relay(name, RELAY_RETENTION="0") for name in ("one", "two")]
        here.wait_until_owned(60, one=8, two=8)
        writers = Writers(here.database_url, here.topic, 7, 10**6, count=6, pause=0.05)
        pruner = Pruner(here.database_url, Ring, 7)
        try:
            for number in range(6):
                judge.arrived(1_000 * (number + 1), 60)
                wait_until(partial(has_emptied, pruner, number + 1), 60)
                if number < kills:
                    relays[number % 2].kill()
                    relays[number % 2].start()
            writers.stop()
            found = judge.verdict()
        finally:
            writers.stop()
            pruner.stop()
    print(pruner.done)
    assert not found.broken
    assert kills or found.duplicates == 0
    assert left(here.database_url) < len(here.committed()) / 2
