"""A database moves into another cluster: by dump and restore, with what such a move may bring along or leave behind."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from psycopg.errors import UniqueViolation

from relay import migrate
from relay.judge import Seen, Verdict, verdict
from relay.local.postgres import Postgres
from relay.local.process import free_port
from tests.faults.world import wait_until
from tests.fuzz.reading import Honest, Parties
from tests.fuzz.writers import Writers

TOPIC = "moved"

LEDGER = """
-- keep_ledger: what was committed, in the order of writing, known apart from the outbox, which a rebase empties
create table public.ledger (n bigint generated always as identity primary key, id uuid not null, key text);
create function public.note() returns trigger language plpgsql as $$
begin
    insert into public.ledger (id, key) values (new.id, new.key);
    return null;
end $$;
create trigger note after insert on outbox.message for each row execute function public.note();
"""

IN_LEDGER = """
-- in_ledger: what is written anew counts once, by its first time
select id::text, key from public.ledger group by id, key order by min(n)
"""

USE_UP = """
do $$ begin for n in 1..{} loop perform pg_current_xact_id(); commit; end loop; end $$
"""

HOLD = """
-- hold: sent ones that were set aside instead, some of them discarded since
insert into outbox.held (shard, seq, id, topic, key, created_at, scope, due_at, failed_at, fault, error,
                         settled_as, settled_at)
select shard, seq, id, topic, key, created_at, 'key', 'infinity', now(), 'message', 'too large',
       case when seq % 2 = 0 then 'discarded' end, case when seq % 2 = 0 then now() end
from outbox.message where id in ({})
"""

SOME = "insert into outbox.message (topic, key) select 'moved', '{}' || n from generate_series(1, {}) n"


def ask(database_url: str, statement: str) -> list[tuple[object, ...]]:
    """Return what a statement answers."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        return connection.execute(statement.encode()).fetchall()


def tell(database_url: str, statement: str) -> None:
    """Execute some statements."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(statement.encode())


def in_ledger(database_url: str) -> list[tuple[str, str]]:
    """All that was ever committed, in the order of writing: id and key."""
    return [(str(id_), str(key)) for id_, key in ask(database_url, IN_LEDGER)]


def contents(database_url: str) -> list[list[tuple[object, ...]]]:
    """All that a rebase could change."""
    tables = ("message", "checkpoint", "snapshot", "held", "operator_act")
    found = [ask(database_url, f"select t::text from outbox.{table} as t order by 1") for table in tables]
    return [*found, *(ask(database_url, f"select * from outbox.{name}") for name in ("message_seq", "slot"))]


def run(server: Postgres, program: str, *arguments: str, given: str | None = None) -> str:
    """Run a program of the server's own version; return what it prints."""
    command = [str(server._binaries / program), *arguments]
    done = subprocess.run(command, input=given, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def dump(server: Postgres) -> str:
    """Return what `pg_dump` prints of a server's database; who may do what is the other cluster's to say."""
    return run(server, "pg_dump", "--no-privileges", "--dbname", server.url())


def restore(server: Postgres, script: str) -> None:
    """Give a dump to `psql`, stopping at the first error."""
    run(server, "psql", "--quiet", "--no-psqlrc", "--set=ON_ERROR_STOP=1", "--dbname", server.url(), given=script)


def without_sequences(script: str) -> str:
    """A dump that leaves the outbox's sequences at their beginning, as logical replication does."""
    lines = script.splitlines(keepends=True)
    kept = [line for line in lines if not line.startswith("SELECT pg_catalog.setval('outbox.")]
    assert len(kept) < len(lines)
    return "".join(kept)


def use_up_transaction_ids(database_url: str, count: int) -> None:
    """Let the cluster give out so many transaction ids."""
    tell(database_url, USE_UP.format(count))


def upgrade(old: Postgres, new: Postgres) -> None:
    """Let `pg_upgrade` make a newer cluster of an old one, which stays stopped; the new one is started.

    Args:
        old: running.
        new: never started before.
    """
    old.stop()
    initialize(new)
    folder = new._home.own("upgrade")
    done = subprocess.run(
        [
            *(new._binaries / "pg_upgrade", "--username=postgres", "--no-sync", f"--socketdir={folder}"),
            *("--old-bindir", old._binaries, "--new-bindir", new._binaries),
            *("--old-datadir", old._data, "--new-datadir", new._data),
            *("--old-port", str(free_port()), "--new-port", str(free_port())),
        ],
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
        **new._home.identity,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    new.start()


def initialize(server: Postgres) -> None:
    """Make an empty cluster as the old versions did, without checksums; both sides of an upgrade must agree on that."""
    version = run(server, "postgres", "--version")
    options = ["--no-data-checksums"] if int(version.split()[2].split(".")[0]) >= 18 else []
    done = subprocess.run(
        [
            *(server._binaries / "initdb", "-D", server._home.own("data")),
            *("--username=postgres", "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync", *options),
        ],
        capture_output=True,
        text=True,
        check=False,
        cwd=server._home.path,
        **server._home.identity,
    )
    assert done.returncode == 0, done.stderr


class Move:
    """Readers and writers are at work in a cluster, and in another one that the database moves into.

    Args:
        old: where it comes from.
        new: where it goes to.
        seed: decides what writers and readers do.
    """

    def __init__(self, old: Postgres, new: Postgres, seed: int) -> None:
        print(f"seed {seed}")
        self.old, self.new = old, new
        self._seed = seed
        self.relayed: list[tuple[str, str | None]] = []
        migrate.upgrade(old.url())
        tell(old.url(), LEDGER)

    def work_in_the_old_one(self) -> None:
        """Write and read; stop in the middle of a difference, with a late transaction behind the last checkpoint."""
        with psycopg.connect(self.old.url()) as late:
            late.execute(SOME.format("locked-late-", 9).encode())
            writers = Writers(self.old.url(), TOPIC, self._seed, 4_000)
            parties = Parties(self.old.url(), Honest, self._seed)
            try:
                while writers.busy or not self._is_under_way(parties):
                    parties.step()
            finally:
                writers.stop()
                parties.close()
            late.commit()
        self.relayed += parties.relayed.ids

    def _is_under_way(self, parties: Parties) -> bool:
        """Write a little more, read some of it, and record that."""
        tell(self.old.url(), SOME.format("free-", 400))
        for party in parties._parties:
            party.step()
            party.record()
        return any(at.target for party in parties._parties for at in party.progress.positions.values())

    def hold(self, count: int) -> None:
        """Set the first that were sent aside."""
        tell(self.old.url(), HOLD.format(", ".join(f"'{id_}'" for id_, _ in self.relayed[:count])))

    def write_in_the_new_one(self, count: int) -> None:
        """Let one writer write, whose numbers may have been drawn before."""
        with psycopg.connect(self.new.url(), autocommit=True) as connection:
            for number in range(count):
                try:
                    connection.execute(
                        "insert into outbox.message (topic, key) values (%s, %s)", (TOPIC, f"locked-{number % 40}")
                    )
                except UniqueViolation:
                    continue

    @contextmanager
    def writers_in_the_new_one(self) -> Iterator[None]:
        """Let writers of every kind be at work, and have written, before the block and until its end."""
        writers = Writers(self.new.url(), TOPIC, self._seed + 1, 10**9, pause=0.02, stubborn=True)
        try:
            self.wait_until_written(500)
            yield
        finally:
            writers.stop()

    def wait_until_written(self, count: int) -> None:
        """Wait until so many messages more are committed."""
        before = len(in_ledger(self.new.url()))
        wait_until(lambda: len(in_ledger(self.new.url())) >= before + count, 60)

    def held_and_written_anew(self) -> list[tuple[object, ...]]:
        """Messages that are in two places, or whose number says that they were written before a held one."""
        both = "select h.id from outbox.held as h join outbox.message as m on m.id = h.id or m.seq <= h.seq"
        return ask(self.new.url(), both)

    def go_on(self) -> None:
        """Read everything in the new one."""
        parties = Parties(self.new.url(), Honest, self._seed + 2)
        try:
            parties.drain()
        finally:
            parties.close()
        self.relayed += parties.relayed.ids

    def expected(self) -> list[tuple[str, str, str | None]]:
        """All that was committed in either: id, topic and key, in order; free keys have none."""
        return [(id_, TOPIC, key if key.startswith("locked") else None) for id_, key in in_ledger(self.new.url())]

    def verdict(self) -> Verdict:
        """Count all that came out of both against all that was committed in either."""
        seen = [Seen(id_, TOPIC, key, 0, place) for place, (id_, key) in enumerate(self.relayed)]
        found = verdict(self.expected(), (), seen)
        print(found)
        return found
