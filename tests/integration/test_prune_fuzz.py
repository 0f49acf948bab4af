"""Slots are rotated and emptied at every moment while everybody writes and reads, and no message is lost by it.

`OUTBOX_FUZZ_SLOTS` and `OUTBOX_FUZZ_SEED` ask for more slots to be emptied or for a run again.
"""

import os
import random

import psycopg
import pytest

from relay.retention.ring import Ring
from tests.fuzz.pruning import Pruner, TrustsItsFirstLook, ever_committed, keep_ledger
from tests.fuzz.reading import Honest, Parties
from tests.fuzz.writers import Writers

SEED = int(os.environ.get("OUTBOX_FUZZ_SEED", random.SystemRandom().randrange(10**6)))
SLOTS = int(os.environ.get("OUTBOX_FUZZ_SLOTS", "40"))


def relay(database_url: str, ring: type[Ring], emptied: int, seed: int) -> tuple[dict[str, int], int]:
    """Let a crowd write, parties read and one prune, until so many slots were emptied; return what went wrong, and of
    how many messages."""
    topic = f"fuzz-{seed}"
    with psycopg.connect(database_url) as open_at_first:
        open_at_first.execute("insert into outbox.message (topic, key) values (%s, 'free-open')", (topic,))
        parties = Parties(database_url, Honest, seed)
        writers = Writers(database_url, topic, seed, 10**6, count=6, pause=0.2)
        pruner = Pruner(database_url, ring, seed)
        try:
            while pruner.done["emptied"] < emptied:
                parties.step()
                if pruner.done["emptied"] == 3:
                    open_at_first.commit()
            writers.stop()
            parties.drain()
        finally:
            writers.stop()
            pruner.stop()
            parties.close()
    found = ever_committed(database_url, topic)
    print(f"seed {seed}, {len(found)} messages, {dict(pruner.done)}")
    return parties.relayed.judge(found), len(found)


@pytest.mark.timeout(400)
def test_emptying_slots_at_any_moment_loses_repeats_and_swaps_nothing(database: str) -> None:
    keep_ledger(database)
    wrong, messages = relay(database, Ring, SLOTS, SEED)
    assert wrong == {"lost": 0, "phantom": 0, "twice": 0, "out of order": 0}, f"seed {SEED}"
    assert messages > 50 * SLOTS


@pytest.mark.timeout(300)
def test_a_check_from_before_the_lock_is_noticed(database: str) -> None:
    keep_ledger(database)

    def noticed(round_: int) -> bool:
        return relay(database, TrustsItsFirstLook, 20, SEED + round_)[0]["lost"] > 0

    assert any(map(noticed, range(8))), f"seed {SEED}"
