"""The example that applications copy from: what it commits and what it enqueues are the same, in one order."""

import subprocess
import sys

import psycopg

from tests.command import environment

COMMAND = [sys.executable, "-m", "app_integration.examples.edu", "--seconds", "3", "--pause-ms", "0"]

COUNT_DISORDER = """
select count(*) from (
    select (convert_from(payload, 'UTF8')::jsonb ->> 'n')::bigint as n,
           row_number() over (partition by key order by seq) as place
    from outbox.message
) as counted
where n <> place
"""


def number(url: str, query: str) -> int:
    with psycopg.connect(url) as connection:
        row = connection.execute(query.encode()).fetchone()
    assert row is not None
    return int(row[0])


def test_the_outbox_has_what_was_committed_and_nothing_that_was_rolled_back(database: str) -> None:
    subprocess.run(COMMAND, env=environment(DATABASE_URL=database), check=True, stdout=subprocess.DEVNULL)
    written = number(database, "select count(*) from outbox.message")
    assert written > 0
    assert written == number(database, "select sum(told) from edu.users")
    assert number(database, "select count(*) from edu.rolled_back") > 0
    assert number(database, "select count(*) from edu.rolled_back join outbox.message on id = message_id") == 0


def test_the_order_of_writing_is_the_order_that_the_lock_on_the_user_defines(database: str) -> None:
    subprocess.run(COMMAND, env=environment(DATABASE_URL=database), check=True, stdout=subprocess.DEVNULL)
    assert number(database, COUNT_DISORDER) == 0


def test_a_url_that_is_none_is_refused_without_repeating_its_password() -> None:
    done = subprocess.run([*COMMAND, "--database-url", "user:secret@host"], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "expected postgresql://user:password@host:port/database" in done.stderr
    assert "secret" not in done.stderr


def test_a_database_without_an_outbox_is_one_clear_line(empty_database: str) -> None:
    done = subprocess.run([*COMMAND, "--database-url", empty_database], capture_output=True, text=True, check=False)
    assert (done.returncode, len(done.stderr.splitlines())) == (1, 1), done.stderr
    assert "outbox" in done.stderr
