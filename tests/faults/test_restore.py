"""A database that moved into another cluster goes on after a rebase: nothing lost, nothing out of order."""

import json
import os
import random
import re
from contextlib import closing
from pathlib import Path

import pytest

from relay.connection import connect
from relay.errors import PositionsForeign
from relay.local.binaries import installed_binaries, wheel_binaries
from relay.local.postgres import Postgres
from relay.reading.checkpoint import Checkpoints
from relay.restoring import rebase as rebasing
from relay.restoring import rewrite
from tests import services
from tests.command import relay
from tests.conftest import OwnPostgres
from tests.faults.world import World
from tests.fuzz.writers import Writers
from tests.restore import (
    TOPIC,
    Move,
    ask,
    contents,
    dump,
    in_ledger,
    restore,
    tell,
    upgrade,
    use_up_transaction_ids,
    without_sequences,
)

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
    said = rebase(move.new.url())
    assert ("went backwards" in said) is not mended_by_hand
    # What a look at every row counts is what indexes find under the lock.
    (counted,), (written,) = re.findall("([0-9,]+) messages count", said), re.findall("anew: ([0-9,]+) messages;", said)
    assert counted == written
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


@pytest.mark.timeout(300)
def test_rebase_that_trusts_the_old_positions_alone_is_noticed(
    own_postgres: OwnPostgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Broken on purpose: the new cluster's transaction ids are lower, and pass for long sent."""
    move = Move(own_postgres(), own_postgres(), SEED)
    use_up_transaction_ids(move.old.url(), 30_000)
    move.work_in_the_old_one()
    restore(move.new, dump(move.old))
    move.write_in_the_new_one(100)
    for name in ("COLLECT_SINCE", "COLLECT_UNSENT"):
        monkeypatch.setattr(rewrite, name, getattr(rewrite, name).replace("when not %(foreign)s", "when true"))
    rebasing.rebase(move.new.url(), "to see it fail")
    move.go_on()
    assert move.verdict().lost > 0


@pytest.mark.timeout(300)
def test_upgraded_cluster_loses_repeats_and_reorders_nothing(own_postgres: OwnPostgres, services_folder: Path) -> None:
    """Its transaction ids go on where the old one's ended; only its identity is another."""
    versions = {**wheel_binaries(), **installed_binaries()}
    oldest, newest = versions[min(versions)], versions[max(versions)]
    assert oldest != newest, "two versions of PostgreSQL are needed: install one beside that of the wheel"
    new = Postgres(services.new_folder(services_folder, "upgraded"), newest)
    try:
        move = Move(own_postgres(oldest), new, SEED)
        move.work_in_the_old_one()
        move.hold(20)
        upgrade(move.old, new)
        with move.writers_in_the_new_one():
            with connect(new.url(), "one") as session, pytest.raises(PositionsForeign, match="run: relay rebase"):
                Checkpoints(session).load(range(16))
            rebase(new.url())
        assert move.held_and_written_anew() == []
        move.go_on()
        found = move.verdict()
        assert not found.broken
        assert found.duplicates == 0
    finally:
        new.close()


class Moved(World):
    """A world whose ledger knows what was committed before the move too."""

    def __init__(self, move: Move, database_url: str, brokers: str, topic: str, folder: Path) -> None:
        super().__init__(database_url, brokers, topic, folder)
        self._move = move

    def committed(self) -> list[tuple[str, str, str | None]]:
        """All that must arrive."""
        return self._move.expected()


@pytest.mark.timeout(300)
def test_relays_publish_all_that_was_committed_in_either_cluster(
    own_postgres: OwnPostgres, kafka_brokers: str, topic: str, tmp_path: Path
) -> None:
    """The relay of the old cluster is killed: what it had not recorded is repeated, as after any kill."""
    move = Move(own_postgres(), own_postgres(), SEED)
    use_up_transaction_ids(move.old.url(), 30_000)
    routed = {"RELAY_TOPICS": json.dumps({TOPIC: {"name": topic}})}
    before = Moved(move, move.old.url(), kafka_brokers, topic, tmp_path)
    after = Moved(move, move.new.url(), kafka_brokers, topic, tmp_path)
    with closing(before), closing(after), after.judged() as judge:
        one = before.relay("one", **routed)
        writers = Writers(move.old.url(), TOPIC, SEED, 6_000)
        judge.arrived(1_000)
        one.kill()
        writers.join()
        restore(move.new, dump(move.old))
        with move.writers_in_the_new_one():
            two = after.relay("two", **routed)
            assert two.process.wait(30) == 2
            assert two.said("run: relay rebase")
            rebase(move.new.url())
            two.start()
            after.relay("three", **routed)
            after.wait_until_owned(30, two=8, three=8)
            move.wait_until_written(500)
        assert not judge.verdict().broken
