import json
import random
import re
import time
from collections.abc import Iterator

import psycopg
import pytest
from psycopg import sql

from relay import locks
from relay.connection import connect
from relay.leasing.lease import Leases
from relay.local.postgres import Postgres
from relay.reading.checkpoint import Checkpoints
from relay.reading.plan import PLAN
from relay.reading.reader import Reader
from relay.watching import held_counts, status
from tests.command import relay
from tests.integration.holding import hold
from tests.seeds import seeds
from tests.services import create_database, drop_database

INSERT_MANY = """
insert into outbox.message (topic, key, payload)
select 'orders', mod(n, 5000)::text, convert_to(n::text, 'UTF8') from generate_series(1, %s) as n
"""

COUNT_PENDING = "select count(*), min(created_at) from outbox.message_state where state = 'pending'"


@pytest.fixture
def writer(database: str) -> Iterator["psycopg.Connection"]:
    with psycopg.connect(database, autocommit=True) as connection:
        yield connection


def enqueue(connection: "psycopg.Connection", count: int = 1) -> None:
    connection.execute(INSERT_MANY, [count])


class Progressing:
    """A relay's reading and recording, without Kafka between."""

    def __init__(self, database: str, name: str) -> None:
        self.session = connect(database, name)
        self.leases = Leases(self.session)
        self.leases.take(range(self.leases.shards))
        self.checkpoints = Checkpoints(self.session)
        self.reader = Reader(connect(database, name), rows=64, size=100_000)
        self.positions = self.checkpoints.load(range(self.leases.shards))

    def page(self) -> int:
        page = self.reader.read(self.positions, self.checkpoints.floor)
        self.positions |= page.after
        self.checkpoints.append(page.after, {shard: len(rows) for shard, rows in page.rows.items()})
        return page.count

    def close(self) -> None:
        self.reader.close()
        self.session.close()


@pytest.fixture
def progressing(database: str) -> Iterator[Progressing]:
    progressing = Progressing(database, "alpha")
    yield progressing
    progressing.close()


def test_nothing_is_pending_in_a_new_outbox(database: str) -> None:
    found = status.read(database)
    assert (found.pending, found.pending_capped, found.oldest_pending_seconds, found.held) == (0, False, None, {})
    assert [shard.shard for shard in found.shards] == list(range(16))
    assert not found.relays


def test_committed_messages_are_pending_and_uncommitted_ones_are_not(
    database: str, writer: "psycopg.Connection"
) -> None:
    enqueue(writer, 10)
    with psycopg.connect(database) as open_one:
        enqueue(open_one, 5)
        assert status.read(database).pending == 10
    assert status.read(database).pending == 15


def test_the_age_of_the_oldest_pending_message_is_told(database: str, writer: "psycopg.Connection") -> None:
    writer.execute(
        "insert into outbox.message (topic, key, created_at) values"
        " ('orders', 'a', clock_timestamp() - interval '90 seconds'), ('orders', 'b', clock_timestamp())"
    )
    age = status.read(database).oldest_pending_seconds
    assert age is not None
    assert 90 <= age < 120


@pytest.mark.parametrize("seed", seeds("status", 3))
def test_what_is_pending_agrees_with_the_state_of_every_message(
    database: str, writer: "psycopg.Connection", progressing: Progressing, seed: int
) -> None:
    """At any position, also in the middle of a difference, with transactions that commit late or roll back."""
    chance = random.Random(seed)
    late: list[psycopg.Connection] = []
    for _ in range(60):
        match chance.choice(("write", "open", "more", "end", "page", "page")):
            case "write":
                enqueue(writer, chance.randint(1, 200))
            case "open":
                late.append(psycopg.connect(database))
                enqueue(late[-1], chance.randint(1, 50))
            case "more" if late:
                enqueue(chance.choice(late), chance.randint(1, 50))
            case "end" if late:
                ending = late.pop(chance.randrange(len(late)))
                ending.rollback() if chance.random() < 0.2 else ending.commit()
                ending.close()
            case _:
                progressing.page()
        row = writer.execute(COUNT_PENDING).fetchone()
        found = status.read(database)
        assert row is not None
        assert (found.pending, found.oldest_pending_seconds is None) == (row[0], row[1] is None), f"seed {seed}"
    for connection in late:
        connection.close()


def test_a_transaction_that_the_target_does_not_know_at_all_is_pending(
    database: str, writer: "psycopg.Connection", progressing: Progressing
) -> None:
    """Its xid is above all that were completed when the target was taken, its numbers lie among those of the page."""
    with psycopg.connect(database) as first, psycopg.connect(database) as second:
        enqueue(first, 100)
        enqueue(second, 100)
        enqueue(first, 2000)
        first.commit()
        assert progressing.page()
        assert any(position.upto > 200 for position in progressing.positions.values())
        left = status.read(database).pending
        second.commit()
    assert status.read(database).pending == left + 100
    row = writer.execute(COUNT_PENDING).fetchone()
    assert row is not None
    assert row[0] == left + 100


def test_a_page_that_is_recorded_is_not_pending(
    database: str, writer: "psycopg.Connection", progressing: Progressing
) -> None:
    enqueue(writer, 1000)
    sent = progressing.page()
    assert 0 < sent < 1000
    assert status.read(database).pending == 1000 - sent
    while progressing.page():
        pass
    assert status.read(database).pending == 0


def test_relays_are_listed_with_the_shards_that_they_hold(database: str) -> None:
    with connect(database, "alpha") as alpha, connect(database, "beta") as beta:
        Leases(alpha).take([0, 2])
        Leases(beta).take([1])
        found = status.read(database)
        assert [(entry.name, list(entry.shards)) for entry in found.relays] == [("alpha", [0, 2]), ("beta", [1])]
        assert [shard.relay for shard in found.shards][:4] == ["alpha", "beta", "alpha", None]
    assert not status.read(database).relays


def test_relays_of_another_database_are_not_listed(database: str, empty_database: str) -> None:
    with psycopg.connect(empty_database, autocommit=True) as elsewhere:
        elsewhere.execute("select pg_advisory_lock(%s, 0)", [locks.LEASE])
        assert not status.read(database).relays


@pytest.fixture(scope="module")
def deep(postgres: Postgres, migrated: str) -> Iterator[str]:
    """The URL of a database with a backlog of 400,000 messages."""
    name = create_database(postgres, migrated)
    with psycopg.connect(postgres.url(name), autocommit=True) as connection:
        enqueue(connection, 400_000)
    yield postgres.url(name)
    drop_database(postgres, name)


def test_a_deep_backlog_is_counted_up_to_a_bound_in_under_a_second(deep: str) -> None:
    before = time.monotonic()
    found = status.read(deep)
    assert time.monotonic() - before < 1
    assert (found.pending, found.pending_capped) == (status.COUNTED, True)
    assert all(shard.pending_capped and shard.pending == 5_000 for shard in found.shards)


def test_pending_messages_are_found_by_index_alone(deep: str) -> None:
    with connect(deep, "plan") as session:
        for name, value in PLAN.items():
            session.execute(f"set {name} = {value}")
        lines = session.execute(f"explain {status.READ_PENDING}", {"limit": 5_000, "paused": []}).fetchall()
    plan = "\n".join(line for (line,) in lines)
    assert "Seq Scan on message" not in plan
    assert "Bitmap" not in plan
    assert plan.count("Index Scan using message_0_pkey") == 2
    assert plan.count("Index Scan using message_0_xid_shard_seq_idx") == 1


KINDS = ("dead", "retrying", "unreachable", "scheduled", "waiting")

SIZE = "select sum(pg_total_relation_size(relid)) from pg_partition_tree('outbox.message')"

COUNT_HELD = "select state, count(*) from outbox.held_state where settled_as is null group by state"


def hold_some_of_each(writer: "psycopg.Connection", count: int) -> None:
    """Messages that wait for every reason there is; some behind the others, some behind nobody."""
    for place, kind in enumerate(KINDS):
        hold(writer, kind, count + place, topic=f"of-{kind}", key="k")
        hold(writer, "waiting", 2, topic=f"of-{kind}", key="k")
        hold(writer, "waiting", 1, topic=f"of-{kind}", key="other")
    some = "select seq from outbox.held where not dead order by seq limit 3"
    writer.execute(f"update outbox.held set replay = 1 where seq in ({some})".encode())


def test_what_is_held_agrees_with_the_state_of_every_message(database: str, writer: "psycopg.Connection") -> None:
    hold_some_of_each(writer, 4)
    found = status.read(database)
    assert dict(found.held) == dict(writer.execute(COUNT_HELD).fetchall())
    assert len(found.held) == 7
    assert not found.held_capped
    # Keys of one topic in the way of what is behind them; a topic that is away is none.
    assert found.blocked.keys == 2
    assert 0 <= (found.blocked.oldest_seconds or -1) < 60


def test_no_kind_of_held_messages_hides_another_however_many_there_are(
    database: str, writer: "psycopg.Connection", monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(held_counts, "COUNTED", 5)
    hold_some_of_each(writer, 40)
    found = status.read(database)
    assert found.held_capped
    assert {"dead", "scheduled", "unreachable"} <= set(found.held)
    assert all(count <= 3 * 5 for count in found.held.values())


def test_many_held_messages_are_counted_in_under_a_second(database: str, writer: "psycopg.Connection") -> None:
    hold(writer, "unreachable", 16, topic="away", key="k")
    hold(writer, "waiting", 100_000, topic="away", key="k")
    writer.execute("analyze outbox.held")
    before = time.monotonic()
    found = status.read(database)
    assert time.monotonic() - before < 1
    assert found.held == {"unreachable": held_counts.COUNTED + 16}
    assert found.held_capped


def test_the_disk_is_told_with_its_end_where_a_budget_is_set(database: str, writer: "psycopg.Connection") -> None:
    enqueue(writer, 20_000)
    found = json.loads(relay("status", "--json", DATABASE_URL=database, RELAY_DISK_BUDGET="1GB").stdout)["disk"]
    assert 0 < found["backlog_bytes"] < found["bytes"] < found["budget_bytes"] == 10**9
    assert found["growth_bytes_per_hour"] > 0
    left = (found["budget_bytes"] - found["bytes"]) / found["growth_bytes_per_hour"]
    assert found["full_in_hours"] == pytest.approx(left)
    size = writer.execute(
        "select sum(pg_total_relation_size(relid)) from pg_partition_tree('outbox.message')"
    ).fetchone()
    assert size is not None
    assert found["backlog_bytes"] == pytest.approx(float(size[0]), rel=0.2)
    shown = relay("status", DATABASE_URL=database, RELAY_DISK_BUDGET="1GB").stdout
    assert "1.0 GB allowed: full in " in shown
    assert "set disk_budget to see when it is full" in relay("status", DATABASE_URL=database).stdout


def test_a_backlog_beyond_what_is_counted_is_estimated(deep: str) -> None:
    found = status.read(deep)
    assert found.pending == status.COUNTED
    assert found.pending_estimate == pytest.approx(400_000, rel=0.01)


def test_the_command_shows_the_promised_fields(database: str, writer: "psycopg.Connection") -> None:
    enqueue(writer, 3)
    with connect(database, "alpha") as alpha:
        leases = Leases(alpha)
        leases.take(range(leases.shards))
        found = json.loads(relay("status", "--json", DATABASE_URL=database).stdout)
        shown = relay("status", DATABASE_URL=database)
    assert found["pending"] == 3
    assert found["oldest_pending_seconds"] > 0
    assert found["held"] == {}
    # Its sessions are not tied together as a relay's are, so nobody can say how it is.
    expected = {"name": "alpha", "shards": list(range(16)), "silent_seconds": None, "healthy": None}
    assert found["relays"] == [expected]
    assert {"shard", "relay", "pending", "checkpoint_at"} <= found["shards"][0].keys()
    assert shown.returncode == 0
    assert "pending: 3" in shown.stdout


def test_a_missing_outbox_is_a_mistake_with_its_mend(empty_database: str) -> None:
    found = relay("status", DATABASE_URL=empty_database)
    assert (found.returncode, found.stdout) == (2, "")
    assert "relay migrate" in found.stderr


def test_a_role_that_may_not_read_is_told_what_it_lacks(database: str, writer: "psycopg.Connection") -> None:
    writer.execute("drop role if exists nosy")
    writer.execute("create role nosy login")
    as_nosy = {"DATABASE_URL": database.replace("postgres@", "nosy@")}
    found = relay("status", **as_nosy)
    assert found.returncode == 2
    assert "role nosy may not read the outbox" in found.stderr
    lacks = found.stderr.partition("or usage on")[2]
    writer.execute("grant usage on schema outbox to nosy")
    for relation in set(re.findall(r"outbox\.\w+", lacks)) - {"outbox.shard_count"}:
        writer.execute(sql.SQL("grant select on {} to nosy").format(sql.SQL(relation)))
    writer.execute("grant execute on function outbox.shard_count to nosy")
    found = relay("status", **as_nosy)
    writer.execute("drop owned by nosy")
    writer.execute("drop role nosy")
    assert (found.returncode, found.stderr) == (0, "")
