"""`relay rebase`: whole or not at all, it asks first, and it is the mend of whatever makes positions meaningless."""

import os
import pty
import signal
import subprocess
import sys
from collections.abc import Iterator

import psycopg
import pytest

from relay import migrate
from relay.connection import connect
from relay.errors import PositionsForeign
from relay.leasing.lease import Leases
from relay.reading.checkpoint import Checkpoints
from relay.reading.reader import Reader
from tests.command import environment, relay, start
from tests.conftest import OwnPostgres
from tests.faults.world import wait_until
from tests.restore import ask, contents, dump, restore, tell

INSERT = (
    "insert into outbox.message (topic, key, payload) select 't', 'k', ('n' || n)::bytea from generate_series({}, {}) n"
)


def rebase(database_url: str) -> str:
    """Run it, expect that it does its work; return what it says."""
    found = relay("rebase", "--yes", DATABASE_URL=database_url)
    assert found.returncode == 0, found.stdout + found.stderr
    return found.stdout


def refused(database_url: str, *options: str) -> str:
    """Run it, expect the user's mistake, and that nothing is changed; return what it says."""
    before = contents(database_url)
    found = relay("rebase", *options, DATABASE_URL=database_url)
    assert found.returncode == 2, found.stdout + found.stderr
    assert contents(database_url) == before
    return found.stderr


def publish(database_url: str) -> list[str]:
    """Read all that is due and record it, as a relay would; return the payloads in the order of their numbers."""
    with connect(database_url, "one") as session, connect(database_url, "one") as beside:
        checkpoints, reader = Checkpoints(session), Reader(beside, rows=10_000, size=1 << 20)
        positions = checkpoints.load(range(16))
        checkpoints.append(positions, {})
        page = reader.read(positions, checkpoints.floor)
        # The second one makes the first one's floor known.
        checkpoints.append(page.after, {})
        checkpoints.append(page.after, {})
    rows = sorted((row for run in page.rows.values() for row in run), key=lambda row: row[1])
    return [row[6].decode() for row in rows if row[6] is not None]


def texts(first: int, last: int) -> list[str]:
    """The payloads of `INSERT`."""
    return [f"n{number}" for number in range(first, last + 1)]


@pytest.fixture
def foreign(database: str) -> str:
    """A database with 30 messages whose positions were recorded elsewhere."""
    tell(database, INSERT.format(1, 30))
    tell(database, "update outbox.snapshot set system_identifier = 1")
    return database


@pytest.fixture
def visitor(foreign: str) -> Iterator[str]:
    """The same as a role sees it that may read everything."""
    tell(foreign, "create role visitor login; grant usage on schema outbox to visitor")
    tell(foreign, "grant select on all tables in schema outbox to visitor")
    tell(foreign, "grant select on all sequences in schema outbox to visitor")
    tell(foreign, "grant execute on function outbox.shard_count, outbox.covers, outbox.covers_topic to visitor")
    yield foreign.replace("postgres@", "visitor@")
    tell(foreign, "drop owned by visitor; drop role visitor")


def test_every_column_that_a_consumer_sees_is_kept(own_postgres: OwnPostgres) -> None:
    old, new = own_postgres(), own_postgres()
    migrate.upgrade(old.url())
    tell(
        old.url(),
        "insert into outbox.message (topic, key, type, payload, content_type, headers, deliver_after) values "
        "('t', 'k', 'placed', '\\x00ff', 'application/avro', '{\"a\": \"b\"}', now() + interval '1 day'), "
        "('t', null, null, null, null, null, null)",
    )
    restore(new, dump(old))
    rebase(new.url())
    columns = (
        "select id, topic, key, type, payload, content_type, headers, deliver_after, created_at "
        "from outbox.message order by seq"
    )
    assert ask(new.url(), columns) == ask(old.url(), columns)


def test_where_positions_belong_to_the_cluster_there_is_nothing_to_rebase(database: str) -> None:
    tell(database, INSERT.format(1, 30))
    assert "nothing to rebase" in refused(database, "--yes")
    assert "nothing to rebase" in refused(database, "--dry-run")


def test_relay_that_is_alive_is_named(foreign: str) -> None:
    with connect(foreign, "one") as session:
        Leases(session)
        assert "at work in this database (one): stop it first" in refused(foreign, "--yes")


def test_two_operators_at_once_rebase_once(foreign: str) -> None:
    with (
        start("rebase", "--yes", DATABASE_URL=foreign) as one,
        start("rebase", "--yes", DATABASE_URL=foreign) as two,
    ):
        said = [process.communicate(timeout=60) for process in (one, two)]
    assert sorted((one.returncode, two.returncode)) == [0, 2], said
    assert any("nothing to rebase" in errors or "another rebase is at work" in errors for _, errors in said), said
    assert ask(foreign, "select messages from outbox.operator_act") == [(30,)]
    assert publish(foreign) == texts(1, 30)


def test_rebase_that_is_killed_in_the_middle_changes_nothing(foreign: str) -> None:
    tell(foreign, "select setval('outbox.message_seq', 20)")
    before = contents(foreign)
    with psycopg.connect(foreign) as blocker, start("rebase", "--yes", DATABASE_URL=foreign) as process:
        # The last statement before the commit waits for this.
        blocker.execute("lock table outbox.operator_act in exclusive mode")
        waits = (
            "select count(*) from pg_locks join pg_stat_activity using (pid) "
            "where not granted and relation = 'outbox.operator_act'::regclass and application_name like '%rebase'"
        )
        wait_until(lambda: ask(foreign, waits) == [(1,)], 30)
        process.send_signal(signal.SIGKILL)
        process.wait(10)
        gone = "select count(*) from pg_stat_activity where application_name like '%rebase'"
        wait_until(lambda: ask(foreign, gone) == [(0,)], 30)
    assert contents(foreign) == before
    rebase(foreign)
    assert publish(foreign) == texts(1, 30)


def test_writer_that_does_not_end_is_named_and_nothing_is_changed(foreign: str) -> None:
    before = contents(foreign)
    with psycopg.connect(foreign, application_name="slow writer") as writer:
        writer.execute("lock table outbox.message in row exclusive mode")
        found = relay("rebase", "--yes", DATABASE_URL=foreign)
    assert found.returncode == 1
    assert "slow writer" in found.stderr
    assert "nothing was changed" in found.stderr
    assert contents(foreign) == before


def test_without_a_terminal_somebody_must_have_agreed(foreign: str) -> None:
    assert "say --yes" in refused(foreign)


@pytest.mark.parametrize(("answer", "code", "acts"), [("n\n", 1, 0), ("y\n", 0, 1)])
def test_on_a_terminal_it_asks(foreign: str, answer: str, code: int, acts: int) -> None:
    ours, theirs = pty.openpty()
    os.write(ours, answer.encode())
    with subprocess.Popen(
        [sys.executable, "-m", "relay", "rebase"],
        env=environment(DATABASE_URL=foreign),
        stdin=theirs,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        said, _ = process.communicate(timeout=60)
    os.close(ours)
    os.close(theirs)
    assert "30 messages count as unsent" in said
    assert "Go on?" in said
    assert process.returncode == code
    assert ask(foreign, "select count(*) from outbox.operator_act") == [(acts,)]


def test_role_that_does_not_own_the_schema_is_told_so(visitor: str) -> None:
    assert relay("rebase", "--dry-run", DATABASE_URL=visitor).returncode == 0
    assert "rebase as the role that owns schema outbox" in refused(visitor, "--yes")


def test_sequence_that_was_restarted_and_used_again_is_mended(database: str) -> None:
    tell(database, INSERT.format(1, 80))
    assert publish(database) == texts(1, 80)
    publish(database)
    tell(database, "truncate outbox.message restart identity")
    tell(database, INSERT.format(81, 130))
    with pytest.raises(PositionsForeign, match="run: relay rebase"):
        publish(database)
    rebase(database)
    assert publish(database) == texts(81, 130)
    assert ask(database, "select min(seq) > 80 from outbox.message") == [(True,)]


def test_sequence_that_went_backwards_beside_unsent_messages_keeps_the_order_of_writing(database: str) -> None:
    tell(database, INSERT.format(1, 60))
    publish(database)
    tell(database, INSERT.format(61, 90))
    tell(database, "delete from outbox.message where seq <= 20; select setval('outbox.message_seq', 1)")
    tell(database, INSERT.format(91, 100))
    with pytest.raises(PositionsForeign, match="run: relay rebase"):
        publish(database)
    rebase(database)
    assert publish(database) == texts(61, 100)


def test_shard_without_a_checkpoint_is_noticed_and_sent_anew(database: str) -> None:
    tell(database, INSERT.format(1, 30))
    publish(database)
    (shard,) = ask(database, "select distinct shard from outbox.message")[0]
    tell(database, f"delete from outbox.checkpoint where shard = {shard}")
    with pytest.raises(PositionsForeign, match=f"nothing is recorded of how far shard {shard} is"):
        publish(database)
    rebase(database)
    assert publish(database) == texts(1, 30)


def test_while_positions_are_foreign_nothing_passes_for_sent(foreign: str) -> None:
    tell(foreign, "update outbox.snapshot set taken = '1000000:1000000:'")
    assert ask(foreign, "select distinct state from outbox.message_state") == [("pending",)]
    found = relay("status", DATABASE_URL=foreign)
    assert found.returncode == 2
    assert "run: relay rebase" in found.stderr
    assert relay("migrate", "--down", DATABASE_URL=foreign).returncode == 2
