"""What was sent long enough ago gives its disk space back, what was not is never touched, and nobody waits for long."""

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import psycopg
import pytest

from relay import locks
from relay.connection import connect
from relay.errors import AlreadyPruning, PositionsForeign
from relay.reading.plan import PLAN
from relay.reading.reader import Reader
from relay.retention.prune import Fate, Pruned, prune
from relay.retention.ring import LOOK, LOOK_AGAIN, Ring
from tests.fuzz.pruning import TrustsItsFirstLook
from tests.integration.sending import Connection, Sender, enqueue, number, pass_time, send_all

DAY = 86_400
WEEK = 7 * DAY

SIZE = "select sum(pg_total_relation_size(relid)) from pg_partition_tree('outbox.message') where isleaf"


@pytest.fixture
def owner(database: str) -> Iterator[Connection]:
    """The owner of the outbox, who also writes."""
    with psycopg.connect(database, autocommit=True) as connection:
        yield connection


@pytest.fixture
def session(database: str) -> Iterator[Connection]:
    """The session of whoever prunes."""
    with connect(database, "pruner") as connection:
        yield connection


def messages(connection: Connection) -> int:
    return number(connection, "select count(*) from outbox.message")


def fates(done: Pruned) -> dict[int, Fate]:
    """What became of the slots that were not empty, but for the one that new rows go to."""
    return {report.slot: report.fate for report in done.slots if report.fate not in (Fate.EMPTY, Fate.TODAY)}


def wait_for_lock(connection: Connection, slot: int) -> None:
    """Return once somebody waits for a slot."""
    waiting = (
        "select count(*) from pg_locks where not granted and locktype = 'relation' "
        f"and relation = 'outbox.message_{slot}'::regclass"
    )
    deadline = time.monotonic() + 30
    while not number(connection, waiting):
        assert time.monotonic() < deadline


# What is emptied, and when


def test_disk_space_is_given_back_once_the_retention_is_over(
    database: str, owner: Connection, session: Connection
) -> None:
    empty = number(owner, SIZE)
    enqueue(owner, 20_000, size=300)
    full = number(owner, SIZE)
    assert full > empty + 20_000 * 300
    send_all(database)
    pass_time(owner, "2 days")
    assert prune(session, WEEK).rotated
    pass_time(owner, "6 days")
    done = prune(session, WEEK)
    (emptied,) = done.of(Fate.EMPTIED)
    assert emptied.slot == 0
    assert emptied.bytes > 20_000 * 300
    assert number(owner, SIZE) == empty


def test_what_was_sent_within_the_retention_is_kept(database: str, owner: Connection, session: Connection) -> None:
    enqueue(owner, 100)
    send_all(database)
    pass_time(owner, "6 days 23 hours")
    done = prune(session, WEEK)
    assert done.rotated
    assert fates(done) == {0: Fate.KEPT}
    assert messages(owner) == 100


def test_age_is_counted_from_sending_and_not_from_writing(
    database: str, owner: Connection, session: Connection
) -> None:
    enqueue(owner, 100)
    pass_time(owner, "30 days")
    send_all(database)
    assert fates(prune(session, WEEK)) == {0: Fate.KEPT}
    assert messages(owner) == 100


def test_what_was_never_sent_is_kept_for_ever(owner: Connection, session: Connection) -> None:
    """No relay has run for longer than the retention."""
    enqueue(owner, 100)
    pass_time(owner, "1 year")
    for retention in (WEEK, 1, 0):
        done = prune(session, retention)
        (unsent,) = done.of(Fate.UNSENT)
        assert (unsent.slot, unsent.unsent) == (0, 100)
    assert messages(owner) == 100


def test_one_unsent_message_keeps_its_slot(database: str, owner: Connection, session: Connection) -> None:
    enqueue(owner, 1_000)
    send_all(database)
    enqueue(owner)
    pass_time(owner, "1 year")
    (unsent,) = prune(session, 0).of(Fate.UNSENT)
    assert unsent.unsent == 1
    send_all(database)
    assert fates(prune(session, 0)) == {0: Fate.EMPTIED}


def test_a_page_that_ends_in_the_middle_keeps_what_is_behind_it(
    database: str, owner: Connection, session: Connection
) -> None:
    """The position is under way: of the target's rows only those up to a number were sent."""
    enqueue(owner, 1_000)
    Ring(session).rotate(1)
    with closing(Sender(database, rows=160)) as sender:
        sender.page()
        assert 0 < len(sender.sent) < 900
        while len(sender.sent) < 1_000:
            (unsent,) = prune(session, 0).of(Fate.UNSENT)
            assert unsent.unsent == 1_000 - len(sender.sent)
            sender.page()
    assert fates(prune(session, 0)) == {0: Fate.EMPTIED}


def test_a_deep_backlog_is_counted_up_to_a_bound(owner: Connection, session: Connection) -> None:
    enqueue(owner, 30_000)
    Ring(session).rotate(1)
    (unsent,) = prune(session, 0).of(Fate.UNSENT)
    assert unsent.unsent_capped
    assert 5_000 < unsent.unsent <= 10_000


def test_no_retention_keeps_nothing_longer_than_needed(database: str, owner: Connection, session: Connection) -> None:
    for _ in range(5):
        enqueue(owner, 300)
        send_all(database)
        done = prune(session, 0)
        assert done.rotated
        assert messages(owner) == 0
    assert number(owner, "select count(*) from outbox.checkpoint") == 16
    assert number(owner, "select count(*) from outbox.snapshot") <= 16
    send_all(database)


def test_a_retention_that_was_shortened_empties_all_older_slots_at_once(
    database: str, owner: Connection, session: Connection
) -> None:
    for _ in range(5):
        enqueue(owner, 100)
        send_all(database)
        pass_time(owner, "29 hours")
        assert prune(session, WEEK).rotated
    assert messages(owner) == 500
    assert len(prune(session, 3_600).of(Fate.EMPTIED)) == 5
    assert messages(owner) == 0


# Where new rows go


def test_new_rows_go_to_another_slot_after_a_sixth_of_the_retention(owner: Connection, session: Connection) -> None:
    enqueue(owner)
    pass_time(owner, "27 hours")
    assert not prune(session, WEEK).rotated
    pass_time(owner, "2 hours")
    assert prune(session, WEEK).rotated
    enqueue(owner)
    assert number(owner, "select max(slot) from outbox.message") == 1


def test_when_it_rotated_last_is_known_to_every_relay(database: str, owner: Connection, session: Connection) -> None:
    enqueue(owner)
    pass_time(owner, "29 hours")
    assert prune(session, WEEK).rotated
    enqueue(owner)
    for _ in range(3):
        with connect(database, "another") as another:
            assert not prune(another, WEEK).rotated


def test_nothing_rotates_while_nothing_is_written(owner: Connection, session: Connection) -> None:
    pass_time(owner, "1 year")
    assert not prune(session, WEEK).rotated


def test_while_all_slots_are_full_todays_grows(database: str, owner: Connection, session: Connection) -> None:
    """A backlog of weeks: nobody waits, nothing is emptied, and all of it is sent in the end."""
    for day in range(12):
        enqueue(owner, 50)
        pass_time(owner, "2 days")
        done = prune(session, WEEK)
        assert (done.rotated, done.rotation_waits) == (day < 7, day >= 7)
    assert messages(owner) == 600
    assert number(owner, "select count(*) from outbox.message where slot = 7") == 250
    with closing(Sender(database)) as sender:
        sender.all()
    assert [row[1] for row in sorted(sender.sent, key=lambda row: row[1])] == list(range(1, 601))
    pass_time(owner, "8 days")
    done = prune(session, WEEK)
    assert done.rotated
    assert messages(owner) == 0


def test_a_sequence_without_a_value_counts_as_the_first_slot(
    database: str, owner: Connection, session: Connection
) -> None:
    """As after a dump that was restored without data: rows go to slot 0."""
    owner.execute("alter sequence outbox.slot restart; delete from outbox.rotation")
    assert number(owner, "select coalesce(pg_sequence_last_value('outbox.slot'), -1)") == -1
    enqueue(owner, 10)
    send_all(database)
    done = prune(session, 0)
    assert (done.rotated, done.today, messages(owner)) == (True, 1, 0)


@pytest.mark.parametrize("jump", ["-1 year", "1 year"])
def test_a_clock_that_jumps_neither_stops_the_ring_nor_loses_what_is_unsent(
    jump: str, database: str, owner: Connection, session: Connection
) -> None:
    """A clock that was set back leaves records of a time ahead; one that was set forward makes all look old."""
    enqueue(owner, 100)
    send_all(database)
    enqueue(owner, 10)
    pass_time(owner, jump)
    for _ in range(2):
        prune(session, WEEK)
    assert messages(owner) >= 10
    send_all(database)
    pass_time(owner, "8 days")
    for _ in range(2):
        prune(session, WEEK)
    assert messages(owner) == 0


# Writers and readers beside it


def test_an_open_transaction_keeps_its_slot(database: str, owner: Connection, session: Connection) -> None:
    enqueue(owner, 100)
    with psycopg.connect(database) as open_one:
        enqueue(open_one, 5)
        send_all(database)
        (busy,) = prune(session, 0).of(Fate.BUSY)
        assert f"pid {open_one.info.backend_pid} (client backend), idle in transaction" in busy.holders[0]
        open_one.commit()
        (unsent,) = prune(session, 0).of(Fate.UNSENT)
        assert unsent.unsent == 5
    send_all(database)
    assert fates(prune(session, 0)) == {0: Fate.EMPTIED}


def test_a_prepared_transaction_keeps_its_slot(database: str, owner: Connection, session: Connection) -> None:
    with psycopg.connect(database) as writer:
        writer.execute("set local outbox.doorbell = off")
        enqueue(writer, 5)
        writer.execute("prepare transaction 'kept'")
    send_all(database)
    Ring(session).rotate(1)
    (busy,) = prune(session, 0).of(Fate.BUSY)
    assert busy.holders == ["a prepared transaction (see pg_prepared_xacts)"]
    owner.execute("commit prepared 'kept'")
    (unsent,) = prune(session, 0).of(Fate.UNSENT)
    assert unsent.unsent == 5
    send_all(database)
    prune(session, 0)
    assert messages(owner) == 0


def test_a_rolled_back_transaction_gives_its_space_back(database: str, owner: Connection, session: Connection) -> None:
    with psycopg.connect(database) as writer:
        enqueue(writer, 5_000)
        writer.rollback()
    full = number(owner, SIZE)
    Ring(session).rotate(1)
    assert fates(prune(session, 0)) == {0: Fate.EMPTIED}
    assert number(owner, SIZE) < full / 2


def test_a_transaction_that_is_open_elsewhere_keeps_nothing(
    database: str, owner: Connection, session: Connection
) -> None:
    """It holds back vacuum, and every "older than the oldest transaction", for as long as it lasts."""
    owner.execute("create table elsewhere ()")
    with psycopg.connect(database) as open_one:
        open_one.execute("insert into elsewhere default values")
        for _ in range(3):
            enqueue(owner, 100)
            send_all(database)
            prune(session, 0)
            assert messages(owner) == 0


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait for the lock for as long as the test needs."""
    monkeypatch.setattr("relay.retention.ring.LOCK_TIMEOUT", "30s")
    monkeypatch.setattr("relay.retention.ring.WORK_TIMEOUT", "60s")


@pytest.mark.usefixtures("patient")
@pytest.mark.parametrize(("ring", "left"), [(Ring, 5), (TrustsItsFirstLook, 0)])
def test_what_is_committed_while_it_waits_for_the_lock_is_seen(
    database: str, owner: Connection, session: Connection, ring: type[Ring], left: int
) -> None:
    """And would be lost, were the snapshot that decides from before the lock."""
    with psycopg.connect(database) as writer, ThreadPoolExecutor(1) as thread:
        enqueue(writer, 5)
        pruning = ring(session)
        pruning.rotate(1)
        emptied = thread.submit(pruning.empty, 0, pruning.look(0, pruning.positions(None)))
        wait_for_lock(owner, 0)
        writer.commit()
        assert emptied.result(30) is not bool(left)
    assert messages(owner) == left


def test_a_reader_that_stays_delays_nobody(database: str, owner: Connection, session: Connection) -> None:
    """As pg_dump does: it reads everything in one long transaction."""
    enqueue(owner, 100)
    send_all(database)
    Ring(session).rotate(1)
    longest = 0.0
    over = threading.Event()

    def write() -> None:
        """To today's slot, and to the one that is to be emptied, as if looked up just before it was left."""
        nonlocal longest
        with psycopg.connect(database, autocommit=True) as writer:
            while not over.is_set():
                began = time.monotonic()
                writer.execute("insert into outbox.message (topic, slot) values ('t', 1), ('t', 0)")
                longest = max(longest, time.monotonic() - began)

    with psycopg.connect(database) as dump, ThreadPoolExecutor(1) as thread:
        dump.execute("set transaction isolation level repeatable read")
        dump.execute("select count(*) from outbox.message_state")
        looked = Ring(session).look(0, Ring(session).positions(None))
        writing = thread.submit(write)
        for _ in range(3):
            with pytest.raises(psycopg.errors.LockNotAvailable):
                Ring(session).empty(0, looked)
        over.set()
        writing.result()
        send_all(database)
        (busy,) = [report for report in prune(session, 0).of(Fate.BUSY) if report.slot == 0]
        assert f"pid {dump.info.backend_pid}" in busy.holders[0]
    assert 0.1 < longest < 2
    assert fates(prune(session, 0))[0] is Fate.EMPTIED


def test_a_relay_that_reads_while_a_slot_is_truncated_gets_all_that_is_due(
    database: str, owner: Connection, session: Connection
) -> None:
    enqueue(owner, 200)
    with (
        closing(Sender(database)) as sender,
        connect(database, "relay") as reading,
        ThreadPoolExecutor(1) as thread,
    ):
        sender.all()
        Ring(session).rotate(1)
        enqueue(owner, 100)
        reader = Reader(reading, rows=10_000, size=1 << 30)
        with owner.transaction():
            owner.execute("truncate outbox.message_0")
            page = thread.submit(reader.read, sender.positions, sender.checkpoints.floor)
            wait_for_lock(owner, 0)
        assert page.result(30).count == 100


# One at a time, and only where positions mean something


def test_of_two_that_prune_at_once_one_works(database: str, owner: Connection, session: Connection) -> None:
    owner.execute("select pg_advisory_lock(%s, 0)", (locks.PRUNE,))
    with pytest.raises(AlreadyPruning, match=rf"pid {owner.info.backend_pid} prunes at the moment"):
        prune(session, 0)
    owner.execute("select pg_advisory_unlock(%s, 0)", (locks.PRUNE,))
    prune(session, 0)
    with connect(database, "another") as another:
        prune(another, 0)


def test_positions_of_another_cluster_empty_nothing(database: str, owner: Connection, session: Connection) -> None:
    enqueue(owner, 100)
    send_all(database)
    owner.execute("update outbox.snapshot set system_identifier = 1")
    with pytest.raises(PositionsForeign, match="belong to the cluster 1"):
        prune(session, 0)
    assert messages(owner) == 100


def test_old_positions_of_another_cluster_say_nothing(database: str, owner: Connection, session: Connection) -> None:
    """Where the positions of now are sound, and older ones are left of before a restore."""
    enqueue(owner, 100)
    send_all(database)
    pass_time(owner, "8 days")
    owner.execute("update outbox.snapshot set system_identifier = 1")
    enqueue(owner, 1_000)
    owner.execute(
        "with at as (insert into outbox.snapshot (taken, floor, system_identifier)"
        " select '1:1:', 0, system_identifier from pg_control_system() returning id)"
        " insert into outbox.checkpoint (shard, batch, seen, upto, sent)"
        " select shard, 1000, at.id, 0, 0 from at, generate_series(0, 15) as shard"
    )
    (unsent,) = prune(session, WEEK).of(Fate.UNSENT)
    assert unsent.unsent == 1_100


def test_a_restarted_sequence_empties_nothing(database: str, owner: Connection, session: Connection) -> None:
    for _ in range(2):
        enqueue(owner, 100)
        send_all(database)
    owner.execute("truncate outbox.message restart identity")
    enqueue(owner, 400)
    with pytest.raises(PositionsForeign, match="was restarted"):
        prune(session, 0)
    assert messages(owner) == 400


def test_it_stops_between_two_steps_when_told_to(database: str, owner: Connection, session: Connection) -> None:
    enqueue(owner, 100)
    send_all(database)
    Ring(session).rotate(1)
    answers = iter([False, False, True])
    done = prune(session, 0, stopping=lambda: next(answers, True))
    assert len(done.slots) == 2
    assert not done.deleted.checkpoints
    assert prune(session, 0).deleted.checkpoints


def test_a_dry_run_changes_nothing_and_says_what_a_run_then_does(
    database: str, owner: Connection, session: Connection
) -> None:
    enqueue(owner, 300)
    send_all(database)
    pass_time(owner, "9 days")
    enqueue(owner, 30)
    send_all(database)
    before = messages(owner), number(owner, "select count(*) from outbox.checkpoint"), Ring(session).read()
    dry = prune(session, 3_600, dry_run=True)
    assert before[:2] == (messages(owner), number(owner, "select count(*) from outbox.checkpoint"))
    assert [slot.today for slot in before[2]] == [slot.today for slot in Ring(session).read()]
    done = prune(session, 3_600)
    assert (dry.slots, dry.rotated, dry.today) == (done.slots, done.rotated, done.today)
    assert (dry.deleted.checkpoints, dry.deleted.held) == (done.deleted.checkpoints, done.deleted.held)
    assert done.deleted.checkpoints


# What it costs


def test_both_looks_walk_the_indexes(owner: Connection, session: Connection) -> None:
    """Neither scans the slot: under the lock that would hold up everybody."""
    enqueue(owner, 20_000)
    owner.execute("analyze outbox.message")
    for name, value in PLAN.items():
        session.execute(f"set {name} = {value}".encode())
    parameters = {
        "shards": [3],
        "seen": ["5:9:5,7"],
        "seen_floor": [7],
        "target": ["5:9:5"],
        "target_floor": [8],
        "upto": [9],
        "most": 1,
        "looked": "5:9:5,7",
    }
    for statement in (LOOK, LOOK_AGAIN):
        lines = session.execute(f"explain {statement.format(slot='message_0')}".encode(), parameters).fetchall()
        plan = "\n".join(str(line) for (line,) in lines)
        assert "Seq Scan on message" not in plan
        assert "Bitmap" not in plan
        assert "message_0_xid_shard_seq_idx" in plan
