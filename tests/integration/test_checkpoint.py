"""Checkpoints are appended once, in order, by one relay, and only where they mean anything."""

from collections.abc import Iterator

import psycopg
import pytest

from relay.connection import connect
from relay.errors import LeaseLost, PositionsForeign
from relay.message import Horizon, Position
from relay.reading.checkpoint import Checkpoints
from relay.reading.reader import Reader

Connection = psycopg.Connection[tuple[object, ...]]


@pytest.fixture
def session(database: str) -> Iterator[Connection]:
    with connect(database, "test") as connection:
        yield connection


def enqueue(connection: Connection, count: int) -> None:
    connection.execute("insert into outbox.message (topic) select 't' from generate_series(1, %s)", (count,))


def test_a_position_survives_as_it_was_appended(session: Connection) -> None:
    checkpoints = Checkpoints(session)
    start = checkpoints.load([0, 1])
    assert start == dict.fromkeys([0, 1], Position(Horizon("1:1:", 0)))
    under_way = Position(Horizon("1:1:", 0), Horizon("900000:900002:900000", 7), 5)
    enqueue(session, 20)
    checkpoints.append({0: under_way, 1: Position(Horizon("900000:900002:900000", 7))}, {0: 5})
    assert Checkpoints(session).load([0, 1]) == {0: under_way, 1: Position(Horizon("900000:900002:900000", 7))}


def test_snapshots_are_stored_once_however_many_checkpoints_refer_to_them(session: Connection) -> None:
    checkpoints = Checkpoints(session)
    positions = checkpoints.load(range(16))
    for _ in range(5):
        checkpoints.append(positions, {})
    assert session.execute("select count(*) from outbox.snapshot").fetchone() == (1,)


def test_the_second_relay_to_append_a_batch_is_refused(database: str, session: Connection) -> None:
    with connect(database, "zombie") as other:
        first, zombie = Checkpoints(session), Checkpoints(other)
        positions = first.load([3])
        zombie.load([3])
        first.append(positions, {})
        with pytest.raises(LeaseLost):
            zombie.append(positions, {3: 1})
    assert session.execute("select max(batch), sum(sent) from outbox.checkpoint where shard = 3").fetchone() == (1, 0)


def test_a_floor_is_handed_out_only_after_the_commit_that_followed_its_reading(session: Connection) -> None:
    checkpoints = Checkpoints(session)
    positions = checkpoints.load([0])
    enqueue(session, 10)
    assert checkpoints.floor == 0
    checkpoints.append(positions, {})
    assert checkpoints.floor == 10


def test_a_sequence_that_went_backwards_stops_the_relay_with_its_mend(session: Connection) -> None:
    checkpoints = Checkpoints(session)
    positions = checkpoints.load([0])
    enqueue(session, 10)
    checkpoints.append(positions, {})
    session.execute("alter sequence outbox.message_seq restart")
    with pytest.raises(PositionsForeign, match=r"went backwards.*relay rebase"):
        checkpoints.append(positions, {})
    session.execute("select setval('outbox.message_seq', 10)")
    checkpoints.append(positions, {})


def test_a_sequence_that_was_restarted_and_used_again_is_noticed(session: Connection) -> None:
    checkpoints = Checkpoints(session)
    enqueue(session, 40)
    for _ in range(2):
        checkpoints.append(checkpoints.load(range(16)), {})
        with connect(session.info.dsn, "reader") as connection:
            page = Reader(connection, rows=100, size=1 << 20).read(checkpoints.load(range(16)), checkpoints.floor)
        checkpoints.append(page.after, {})
    session.execute("truncate outbox.message restart identity")
    enqueue(session, 80)
    with pytest.raises(PositionsForeign, match="was restarted"):
        checkpoints.load(range(16))


def test_positions_of_another_cluster_are_refused(session: Connection) -> None:
    session.execute("update outbox.snapshot set system_identifier = 1")
    with pytest.raises(PositionsForeign, match="belong to the cluster 1"):
        Checkpoints(session).load([0])


def test_every_message_can_be_asked_for_its_state(database: str, session: Connection) -> None:
    checkpoints = Checkpoints(session)
    enqueue(session, 40)
    with connect(database, "reader") as connection:
        reader = Reader(connection, rows=10, size=1 << 20)
        positions = checkpoints.load(range(16))
        page = reader.read(positions, 0, rows=1)
        checkpoints.append({**positions, **page.after}, {})
        enqueue(session, 2)
    sent = {row[2] for rows in page.rows.values() for row in rows}
    rows: list[tuple[str, str]] = session.execute("select id::text, state from outbox.message_state").fetchall()  # type: ignore[assignment]
    states = dict(rows)
    assert {id_ for id_, state in states.items() if state == "sent"} == sent
    assert len(states) == 42
    assert session.execute(
        "select count(*) from outbox.message_state where (sent_at is not null) <> (state = 'sent')"
    ).fetchone() == (0,)
