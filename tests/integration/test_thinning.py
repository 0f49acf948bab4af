"""Old records of what was sent are deleted, but for those that somebody still needs."""

from collections.abc import Iterator
from contextlib import closing
from datetime import datetime, timedelta

import psycopg
import pytest

from relay.connection import connect
from relay.message import Horizon, Position
from relay.retention import thinning
from relay.retention.ring import Ring
from relay.retention.thinning import Thinned, Thinning
from tests.integration.sending import Connection, Sender, enqueue, number, pass_time, send_all

WEEK = 7 * 86_400

CHECKPOINTS = "select count(*) from outbox.checkpoint where shard = 0"
SHARED = "select count(*) from outbox.snapshot where taken::text = '3:3:'"
SNAPSHOTS = "select count(*) from outbox.snapshot"


@pytest.fixture
def owner(database: str) -> Iterator[Connection]:
    with psycopg.connect(database, autocommit=True) as connection:
        yield connection


@pytest.fixture
def session(database: str) -> Iterator[Connection]:
    with connect(database, "pruner") as connection:
        yield connection


def record(owner: Connection, age: timedelta) -> None:
    """Append a checkpoint of shard 0, with a snapshot of its own, that is so old."""
    owner.execute(
        "with at as (insert into outbox.snapshot (taken, floor, system_identifier)"
        " select '1:1:', 0, system_identifier from pg_control_system() returning id)"
        " insert into outbox.checkpoint (shard, batch, seen, upto, sent, sent_at)"
        " select 0, (select max(batch) + 1 from outbox.checkpoint where shard = 0), id, 0, 0, now() - %s from at",
        (age,),
    )


def delete(session: Connection, retention: float = WEEK) -> Thinned:
    return Thinning(session, retention).delete(lambda: False)


def times_of_sending(owner: Connection) -> dict[object, datetime]:
    """When each message was sent."""
    found = owner.execute("select id, sent_at from outbox.message_state").fetchall()
    return {id_: sent_at for id_, sent_at in found if isinstance(sent_at, datetime)}


def ages(owner: Connection) -> list[timedelta]:
    """How old the checkpoints of shard 0 are, oldest first, to the second."""
    found = owner.execute("select now() - sent_at from outbox.checkpoint where shard = 0 order by batch").fetchall()
    return [timedelta(seconds=round(age.total_seconds())) for (age,) in found if isinstance(age, timedelta)]


def test_of_checkpoints_older_than_an_hour_one_a_minute_is_left(owner: Connection, session: Connection) -> None:
    pass_time(owner, "3 hours")
    for seconds in range(2 * 3_600, 2 * 3_600 - 600, -10):
        record(owner, timedelta(seconds=seconds))
    assert delete(session).checkpoints >= 48
    minutes = owner.execute(
        "select date_trunc('minute', sent_at), count(*) from outbox.checkpoint where shard = 0 group by 1"
    ).fetchall()
    assert 11 <= len(minutes) <= 13
    assert {count for _, count in minutes} == {1}
    assert delete(session).checkpoints == 0


def test_of_a_minute_the_last_checkpoint_is_left(owner: Connection, session: Connection) -> None:
    """Then no message seems to have been sent before it was."""
    pass_time(owner, "3 hours")
    row = owner.execute("select now() - date_trunc('minute', now() - interval '2 hours')").fetchone()
    assert row is not None
    assert isinstance(row[0], timedelta)
    for second in (1, 20, 58):
        record(owner, row[0] - timedelta(seconds=second))
    record(owner, timedelta(0))
    delete(session)
    last = owner.execute(
        "select extract(second from sent_at)::int from outbox.checkpoint where shard = 0 and batch = 3"
    )
    assert last.fetchall() == [(58,)]
    assert number(owner, CHECKPOINTS) == 3


def test_checkpoints_of_the_last_hour_are_all_left(owner: Connection, session: Connection) -> None:
    for seconds in range(3_590, 0, -30):
        record(owner, timedelta(seconds=seconds))
    assert delete(session).checkpoints == 0


def test_the_newest_checkpoint_stays_however_old(database: str, owner: Connection, session: Connection) -> None:
    enqueue(owner, 100)
    send_all(database)
    pass_time(owner, "1 year")
    delete(session, 0)
    assert number(owner, "select count(*) from outbox.checkpoint") == 16
    with closing(Sender(database)) as sender:
        sender.all()
    assert sender.sent == []


def test_the_newest_that_is_as_old_as_the_retention_stays(owner: Connection, session: Connection) -> None:
    """From it, emptying a slot is decided."""
    pass_time(owner, "20 days")
    for days in (12, 9, 8, 6, 1):
        record(owner, timedelta(days=days))
    assert delete(session).checkpoints == 3
    assert [age.days for age in ages(owner)] == [8, 6, 1]


def test_snapshots_go_with_the_last_checkpoint_that_refers_to_them(
    database: str, owner: Connection, session: Connection
) -> None:
    for _ in range(4):
        enqueue(owner, 50)
        send_all(database)
    pass_time(owner, "8 days")
    send_all(database)
    pass_time(owner, "1 second")
    delete(session)
    orphans = (
        "select count(*) from outbox.snapshot where id not in "
        "(select seen from outbox.checkpoint union select target from outbox.checkpoint where target is not null)"
    )
    widows = "select count(*) from outbox.checkpoint left join outbox.snapshot on id = seen where id is null"
    assert number(owner, orphans) == 0
    assert number(owner, widows) == 0


def test_a_relay_never_refers_to_a_snapshot_that_was_deleted(
    database: str, owner: Connection, session: Connection
) -> None:
    """It remembers the row of a horizon for as long as the newest checkpoint of a shard of its own refers to it."""
    shared = Position(Horizon("3:3:", 0))
    with closing(Sender(database)) as elsewhere, closing(Sender(database)) as relay:
        relay.checkpoints.append({0: shared}, {})
        relay.checkpoints.drop([0])
        elsewhere.checkpoints.load([0])
        elsewhere.checkpoints.append({0: Position(Horizon("5:5:", 0))}, {})
        delete(session, 0)
        assert number(owner, SHARED) == 0
        relay.checkpoints.append({1: shared}, {})
        assert relay.checkpoints.load([1]) == {1: shared}


def test_what_a_relay_may_refer_to_again_stays(database: str, owner: Connection, session: Connection) -> None:
    shared = Position(Horizon("3:3:", 0))
    with closing(Sender(database)) as relay:
        relay.checkpoints.append({0: shared}, {})
        delete(session, 0)
        relay.checkpoints.append({1: shared}, {})
        assert relay.checkpoints.load([0, 1]) == {0: shared, 1: shared}
    assert number(owner, SHARED) == 1


def test_the_time_of_sending_is_right_to_a_minute_after_an_hour(
    database: str, owner: Connection, session: Connection
) -> None:
    with closing(Sender(database)) as sender:
        for _ in range(30):
            enqueue(owner, 20)
            sender.all()
            pass_time(owner, "7 seconds")
    pass_time(owner, "2 hours")
    before = times_of_sending(owner)
    assert delete(session).checkpoints > 16
    after = times_of_sending(owner)
    assert len(before) == len(after) == 600
    assert all(timedelta(0) <= after[id_] - sent_at <= timedelta(minutes=1) for id_, sent_at in before.items())


HOLD = """
insert into outbox.held (shard, seq, id, topic, created_at, scope, due_at, settled_as, settled_at)
select shard, seq, id, topic, created_at, 'none', '-infinity', %s, case when %s then now() - %s::interval end
from outbox.message
"""


def test_a_settled_held_message_goes_once_its_row_is_gone(
    database: str, owner: Connection, session: Connection
) -> None:
    """Before that, a discarded one would pass for sent."""
    enqueue(owner, 10)
    owner.execute(HOLD, ("discarded", True, "8 days"))
    send_all(database)
    assert delete(session).held == 0
    assert number(owner, "select count(*) from outbox.message_state where state = 'discarded'") == 10
    owner.execute("truncate outbox.message")
    assert delete(session).held == 10
    assert number(owner, "select count(*) from outbox.held") == 0


def test_a_held_message_that_was_settled_lately_stays(owner: Connection, session: Connection) -> None:
    enqueue(owner, 10)
    owner.execute(HOLD, ("sent", True, "6 days"))
    owner.execute("truncate outbox.message")
    assert delete(session).held == 0


def test_an_unsettled_held_message_outlives_its_slot(database: str, owner: Connection, session: Connection) -> None:
    """It is a whole copy, so it keeps nothing from being emptied, and nothing deletes it."""
    enqueue(owner, 10)
    owner.execute(HOLD, (None, False, "0"))
    send_all(database)
    pass_time(owner, "1 year")
    ring = Ring(session)
    ring.rotate(1)
    assert ring.empty(0, ring.look(0, ring.positions(WEEK)))
    assert delete(session, 0).held == 0
    assert number(owner, "select count(*) from outbox.message_state where state = 'pending'") == 10


def test_many_are_deleted_a_few_at_a_time(
    owner: Connection, session: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(thinning, "STEP", 7)
    pass_time(owner, "20 days")
    for days in range(30, 8, -1):
        record(owner, timedelta(days=days))
    asked = iter(range(100))
    done = Thinning(session, WEEK).delete(lambda: next(asked) >= 2)
    assert done == Thinned(checkpoints=14, snapshots=0, held=0)
    assert delete(session).checkpoints == 22 - 14
    assert number(owner, SNAPSHOTS) == 2
