"""The difference between two snapshots loses nothing, repeats nothing and swaps nothing, whatever the writers do.

`OUTBOX_FUZZ_ROWS` and `OUTBOX_FUZZ_SEED` ask for more rows or for a run again.
"""

import os
import random

import psycopg
import pytest

from relay.errors import PositionsForeign
from tests.fuzz.reading import (
    Honest,
    NewFloorWithOldSeen,
    Parties,
    SnapshotBeforeTheFloorsTransaction,
    XidOlderThanTheFloor,
)
from tests.fuzz.writers import Writers, committed

SEED = int(os.environ.get("OUTBOX_FUZZ_SEED", random.SystemRandom().randrange(10**6)))
ROWS = int(os.environ.get("OUTBOX_FUZZ_ROWS", "110000"))


def relay(database_url: str, checkpoints: type[Honest], rows: int, *, seed: int, crowd: int = 11) -> dict[str, int]:
    """Let a crowd of writers write and parties read at the same time; return what went wrong."""
    print(f"seed {seed}, {rows} rows")
    topic = f"fuzz-{seed}"
    with psycopg.connect(database_url) as open_throughout:
        open_throughout.execute("insert into outbox.message (topic, key) values (%s, 'free-open')", (topic,))
        parties = Parties(database_url, checkpoints, seed)
        writers = Writers(database_url, topic, seed, rows, crowd)
        try:
            while writers.busy:
                parties.step()
            parties.drain()
            open_throughout.commit()
            parties.drain()
        finally:
            writers.stop()
            parties.close()
    found = committed(database_url, topic)
    assert len(found) > rows * 0.8
    return parties.relayed.judge(found)


@pytest.mark.timeout(400)
def test_nothing_is_lost_repeated_or_swapped(database: str) -> None:
    wrong = relay(database, Honest, ROWS, seed=SEED)
    assert wrong == {"lost": 0, "phantom": 0, "twice": 0, "out of order": 0}, f"seed {SEED}"


@pytest.mark.parametrize("broken", [SnapshotBeforeTheFloorsTransaction, XidOlderThanTheFloor, NewFloorWithOldSeen])
@pytest.mark.timeout(300)
def test_breaking_the_floor_rule_is_noticed(database: str, broken: type[Honest]) -> None:
    """Few writers, so that often nobody completes between a commit and the snapshot; one round in three sees none."""

    def noticed(round_: int) -> bool:
        try:
            return relay(database, broken, 12_000, seed=SEED + round_, crowd=3)["lost"] > 0
        except PositionsForeign:
            # The relay itself met rows that the broken floor would have hidden.
            return True

    assert any(map(noticed, range(12))), f"seed {SEED}"
