"""A database that moved into another cluster goes on after a rebase: nothing lost, nothing out of order."""

import os
import random

import pytest

from relay.checkpoint import Checkpoints
from relay.connection import connect
from relay.errors import PositionsForeign
from tests.command import relay
from tests.conftest import OwnPostgres
from tests.restore import Move, ask, contents, dump, in_ledger, restore, tell, use_up_transaction_ids, without_sequences

SEED = int(os.environ.get("OUTBOX_FUZZ_SEED", random.SystemRandom().randrange(10**6)))


def rebase(database_url: str, *options: str) -> str:
    """Run it, expect that it does its work; return what it says."""
    found = relay("rebase", *(options or ("--yes",)), DATABASE_URL=database_url)
    assert found.returncode == 0, found.stdout + found.stderr
    return found.stdout


@pytest.mark.timeout(300)
@pytest.mark.parametrize(("used_before", "used_after"), [(30_000, 0), (0, 30_000), (0, 0)])
def test_dump_restored_into_another_cluster_loses_repeats_and_reorders_nothing(
    own_postgres: OwnPostgres, used_before: int, used_after: int
) -> None:
    """Transaction ids there are lower, higher, or the very same ones given out again."""
    move = Move(own_postgres(), own_postgres(), SEED)
    use_up_transaction_ids(move.old.url(), used_before)
    use_up_transaction_ids(move.new.url(), used_after)
    move.work_in_the_old_one()
    move.hold(20)
    restore(move.new, dump(move.old))
    with move.writers_in_the_new_one():
        with connect(move.new.url(), "one") as session, pytest.raises(PositionsForeign, match="run: relay rebase"):
            Checkpoints(session).load(range(16))
        held = ask(move.new.url(), "select h::text from outbox.held h order by 1")
        rebase(move.new.url())
        assert ask(move.new.url(), "select h::text from outbox.held h order by 1") == held
        assert move.held_and_written_anew() == []
        move.wait_until_written(500)
    move.go_on()
    found = move.verdict()
    assert not found.broken
    assert found.duplicates == 0


@pytest.mark.timeout(300)
@pytest.mark.parametrize("mended_by_hand", [False, True])
def test_dump_without_its_sequences_loses_and_reorders_nothing(own_postgres: OwnPostgres, mended_by_hand: bool) -> None:
    move = Move(own_postgres(), own_postgres(), SEED)
    use_up_transaction_ids(move.old.url(), 30_000)
    move.work_in_the_old_one()
    move.hold(20)
    restore(move.new, without_sequences(dump(move.old)))
    move.write_in_the_new_one(300)
    if mended_by_hand:
        tell(move.new.url(), "select setval('outbox.message_seq', max(seq)) from outbox.message")
        move.write_in_the_new_one(300)
    assert ("went backwards" in rebase(move.new.url())) is not mended_by_hand
    assert move.held_and_written_anew() == []
    move.go_on()
    found = move.verdict()
    assert not found.broken
    # Only where the numbers still tell that they were drawn again does every one that may have been count as unsent.
    assert (found.duplicates == 0) is mended_by_hand


@pytest.mark.timeout(300)
def test_dry_run_says_what_would_be_done_and_changes_nothing(own_postgres: OwnPostgres) -> None:
    move = Move(own_postgres(), own_postgres(), SEED)
    move.work_in_the_old_one()
    move.hold(4)
    restore(move.new, dump(move.old))
    before = contents(move.new.url())
    said = rebase(move.new.url(), "--dry-run")
    assert contents(move.new.url()) == before
    sent = len({id_ for id_, _ in move.relayed})
    unsent = len(in_ledger(move.new.url())) - sent
    assert f"{unsent:,} messages count as unsent" in said
    assert f"{sent:,} rows of messages that were sent" in said
    assert "4 rows of outbox.held" in said
    assert f"written anew: {unsent:,} messages" in rebase(move.new.url(), "--yes", "--why", "moved house")
    acts = "select act, who, why, messages from outbox.operator_act"
    assert ask(move.new.url(), acts) == [("rebase", "postgres", "moved house", unsent)]
