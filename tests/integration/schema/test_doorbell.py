"""The trigger and the relay meet at the same locks and channel: a relay that is awake hears nothing."""

import psycopg
import pytest
from psycopg import sql

from relay import locks, migrate_session

ENQUEUE = "select outbox.enqueue('orders', '1', key => %s)"

SHARD_OF = """
-- shard_of
select shard from outbox.message where key = %s
"""

FIRST_OF_EACH_SHARD = """
-- first_of_each_shard
select shard, min(key) from outbox.message group by shard order by shard
"""


@pytest.fixture
def listener(database: str) -> "psycopg.Connection":
    connection = psycopg.connect(database, autocommit=True)
    connection.execute(sql.SQL("listen {}").format(sql.Identifier(locks.CHANNEL)))
    return connection


def rung(listener: "psycopg.Connection", writer: "psycopg.Connection") -> list[str]:
    """Return what rang until now; the last notification is the test's own, so that nothing is waited out."""
    writer.execute(sql.SQL("notify {}, 'end'").format(sql.Identifier(locks.CHANNEL)))
    heard: list[str] = []
    for notification in listener.notifies(timeout=30):
        if notification.payload == "end":
            return heard
        heard.append(notification.payload)
    raise AssertionError("the test's own notification never came")


def keys_of_two_shards(session: "psycopg.Connection") -> list[tuple[int, str]]:
    session.execute("set outbox.doorbell = off")
    session.execute(
        "insert into outbox.message (topic, key) select 'orders', 'k' || n from generate_series(1, 100) as n"
    )
    session.execute("reset outbox.doorbell")
    return session.execute(FIRST_OF_EACH_SHARD).fetchall()[:2]


def test_insert_rings_with_its_shard_while_every_relay_sleeps(
    session: "psycopg.Connection", listener: "psycopg.Connection"
) -> None:
    with listener:
        session.execute(ENQUEUE, ["k"])
        (shard,) = session.execute(SHARD_OF, ["k"]).fetchone() or (None,)
        assert rung(listener, session) == [str(shard)]


def test_only_shards_whose_relay_is_awake_are_silent(
    session: "psycopg.Connection", listener: "psycopg.Connection", database: str
) -> None:
    (awake, silent_key), (asleep, ringing_key) = keys_of_two_shards(session)
    with listener, psycopg.connect(database, autocommit=True) as relay:
        relay.execute("select pg_advisory_lock(%s, %s)", [locks.DOORBELL, awake])
        session.execute(ENQUEUE, [silent_key])
        session.execute(ENQUEUE, [ringing_key])
        assert rung(listener, session) == [str(asleep)]
        relay.execute("select pg_advisory_unlock_all()")
        session.execute(ENQUEUE, [silent_key])
        assert rung(listener, session) == [str(awake)]


def test_rolled_back_insert_does_not_ring(session: "psycopg.Connection", listener: "psycopg.Connection") -> None:
    with listener:
        with session.transaction(force_rollback=True):
            session.execute(ENQUEUE, ["k"])
        assert rung(listener, session) == []


def test_a_thousand_inserts_of_one_shard_ring_once(
    session: "psycopg.Connection", listener: "psycopg.Connection"
) -> None:
    with listener:
        session.execute("insert into outbox.message (topic, key) select 'orders', 'k' from generate_series(1, 1000)")
        assert len(rung(listener, session)) == 1


def test_transaction_that_rings_not_can_be_prepared_and_one_that_rings_cannot(
    session: "psycopg.Connection", database: str
) -> None:
    name = f"doorbell in {database.rpartition('/')[2]}"
    prepare = sql.SQL("prepare transaction {}").format(name)
    session.execute("begin")
    session.execute(ENQUEUE, ["k"])
    with pytest.raises(psycopg.errors.FeatureNotSupported):
        session.execute(prepare)
    session.execute("rollback")
    session.execute("begin")
    session.execute("set local outbox.doorbell = off")
    session.execute(ENQUEUE, ["k"])
    session.execute(prepare)
    session.execute(sql.SQL("commit prepared {}").format(name))
    assert session.execute("select count(*) from outbox.message").fetchone() == (1,)


def test_operators_and_relays_never_meet_at_one_lock() -> None:
    classes = [locks.LEASE, locks.MEMBER, locks.DOORBELL, migrate_session.TURN_LOCK]
    assert len(set(classes)) == len(classes)
