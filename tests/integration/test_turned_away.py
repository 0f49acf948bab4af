"""A relay whose set-up is changed under it waits until it is right again, says what is wrong, and goes on by itself."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from relay import migrate
from relay.admission import REFUSALS, known, mend_of
from relay.connection import connect
from relay.errors import DatabaseUnreachable
from tests.faults.world import World, wait_until
from tests.integration.test_http_port import ask, until_ready, url_of

ROLE = "shaken"

ALL = "select count(pg_terminate_backend(pid)) from pg_stat_activity where usename = 'shaken'"


@dataclass(frozen=True)
class Setup:
    """What an administrator may do to a database and a role that work."""

    database_url: str
    server: "psycopg.Connection"

    @property
    def name(self) -> str:
        return str(conninfo_to_dict(self.database_url)["dbname"])

    @property
    def url(self) -> str:
        """As the role that is shaken."""
        return self.database_url.replace("postgres@", f"{ROLE}@")

    def say(self, statement: str) -> None:
        """Change something of the server, with `{}` for the database, and end the sessions of the role."""
        self.server.execute(sql.SQL(statement).format(sql.Identifier(self.name)))
        self.server.execute(ALL)

    def inside(self, statement: str) -> None:
        """Change something in the database, and end the sessions of the role."""
        with psycopg.connect(self.database_url, autocommit=True) as connection:
            connection.execute(statement.encode())
        self.server.execute(ALL)


@pytest.fixture
def setup(database: str) -> Iterator[Setup]:
    elsewhere = database.replace(f"/{conninfo_to_dict(database)['dbname']}", "/postgres")
    with psycopg.connect(elsewhere, autocommit=True) as server:
        server.execute(f"create role {ROLE} login in role outbox_relay")
        made = Setup(database, server)
        yield made
        made.say("alter database {} with allow_connections true")
        made.inside(f"drop owned by {ROLE}")
        server.execute(f"drop role {ROLE}")


def move(it: Setup) -> None:
    it.say("alter database {} with allow_connections false")
    it.say(f"alter database {{}} rename to {it.name}_moved")


def move_back(it: Setup) -> None:
    it.server.execute(f"alter database {it.name}_moved rename to {it.name}".encode())
    it.say("alter database {} with allow_connections true")


TOO_NEW = """
update outbox.schema_version set version_num = '0999';
create or replace function outbox.oldest_relay() returns text language sql immutable begin atomic select '0999'; end;
"""

Trouble = tuple[Callable[[Setup], None], str, Callable[[Setup], None]]

TROUBLES: dict[str, Trouble] = {
    "the schema is taken away": (
        lambda it: migrate.downgrade(it.database_url),
        "there is no outbox schema; make it with: relay migrate",
        lambda it: migrate.upgrade(it.database_url),
    ),
    "the schema is too new": (
        lambda it: it.inside(TOO_NEW),
        "the outbox schema is at revision 0999, newer than this relay knows",
        lambda it: it.inside("update outbox.schema_version set version_num = '0001'"),
    ),
    "nobody may connect": (
        lambda it: it.say("alter database {} with allow_connections false"),
        "is not currently accepting connections",
        lambda it: it.say("alter database {} with allow_connections true"),
    ),
    "the role has connections enough": (
        lambda it: it.say(f"alter role {ROLE} connection limit 0"),
        'too many connections for role "shaken"',
        lambda it: it.say(f"alter role {ROLE} connection limit -1"),
    ),
    "the role lost its rights": (
        lambda it: it.say(f"revoke outbox_relay from {ROLE}"),
        "lacks: usage on schema outbox",
        lambda it: it.say(f"grant outbox_relay to {ROLE}"),
    ),
    "the role may not connect": (
        lambda it: it.say("revoke connect on database {} from public"),
        "permission denied for database",
        lambda it: it.say("grant connect on database {} to public"),
    ),
    "the database is called otherwise": (move, "does not exist", move_back),
}


def test_relay_waits_out_whatever_is_changed_under_it_and_says_what(setup: Setup, here: World) -> None:
    process = here.relay("one", DATABASE_URL=setup.url, RELAY_HTTP_PORT="0")
    url = url_of(process)
    with here.judged() as judge:
        for count, (trouble, (make, words, mend)) in enumerate(TROUBLES.items(), 1):
            until_ready(url)
            here.enqueue(1, key=trouble)
            judge.arrived(count)
            wait_until(lambda: set(here.states()) == {"sent"}, 20)
            make(setup)
            wait_until(partial(_says, url, words), 30, lambda: ask(f"{url}/readyz")[2])
            assert ask(f"{url}/livez")[0] == 200, trouble
            assert process.process.poll() is None, trouble
            mend(setup)
    until_ready(url)
    assert process.terminate() == 0


def _says(url: str, words: str) -> bool:
    code, _, text = ask(f"{url}/readyz")
    return code == 503 and words in text


@pytest.mark.parametrize(
    ("trouble", "words"),
    [
        ("alter database {} with allow_connections false", "is not currently accepting connections"),
        ("alter database {} with connection limit 0", "too many connections for database"),
    ],
)
def test_what_passes_is_no_mistake_at_the_start_either(setup: Setup, trouble: str, words: str) -> None:
    setup.say(trouble)
    with pytest.raises(DatabaseUnreachable, match=words):
        connect(setup.url, "one")


@pytest.mark.parametrize(
    ("text", "sqlstate", "final"),
    [
        ('FATAL:  password authentication failed for user "a"', "28P01", True),
        ('FATAL:  Peer authentication failed for user "a"', "28000", True),
        ('FATAL:  role "a" does not exist', "28000", True),
        ('FATAL:  database "a" does not exist', "3D000", True),
        ('FATAL:  cannot connect to invalid database "a"', "55000", True),
        ('FATAL:  pg_hba.conf rejects connection for host "h", user "a"', "28000", True),
        ('FATAL:  database "a" is not currently accepting connections', "55000", False),
        ("FATAL:  the database system is starting up", "57P03", False),
        ("FATAL:  the database system is shutting down", "57P03", False),
        ("FATAL:  the database system is in recovery mode", "57P03", False),
        ("FATAL:  the database system is not yet accepting connections", "57P03", False),
        ("FATAL:  sorry, too many clients already", "53300", False),
        ("FATAL:  remaining connection slots are reserved for roles with the SUPERUSER attribute", "53300", False),
        ('FATAL:  too many connections for database "a"', "53300", False),
        ("FATAL:  terminating connection due to administrator command", "57P01", False),
    ],
)
def test_each_refusal_is_known_for_what_it_is(text: str, sqlstate: str, final: bool) -> None:
    found = known(f"connection to server at h failed: {text}")
    assert [(one.sqlstate, one.final) for one in found] == [(sqlstate, final)]
    assert (mend_of(text) is not None) is final


def test_a_refusal_in_another_language_is_waited_for() -> None:
    assert not mend_of("FATAL:  Passwort-Authentifizierung für Benutzer »a« fehlgeschlagen")
    assert not mend_of("connection refused")
    assert len({one.words for one in REFUSALS}) == len(REFUSALS)
