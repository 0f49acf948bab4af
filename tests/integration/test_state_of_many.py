"""The state of a message is found by index, however much is held: PostgreSQL's plans, where its guesses are worst."""

from collections.abc import Iterator

import psycopg
import pytest

from relay.local.postgres import Postgres
from tests.integration.holding import hold, send
from tests.services import create_database, drop_database


@pytest.fixture(scope="module")
def deep(postgres: Postgres, migrated: str) -> Iterator["psycopg.Connection"]:
    """A session on a database in which one key has failed many times, and others wait."""
    name = create_database(postgres, migrated)
    with psycopg.connect(postgres.url(name), autocommit=True) as connection:
        hold(connection, "dead", 20_000, topic="a", key="k")
        hold(connection, "waiting", 1_000, topic="b", key="k")
        send(connection, 20_000, topic="c")
        connection.execute("vacuum analyze outbox.held")
        connection.execute("vacuum analyze outbox.message")
        yield connection
    drop_database(postgres, name)


def plan(session: "psycopg.Connection", query: str) -> str:
    lines = session.execute(f"explain verbose {query}".encode()).fetchall()
    return "\n".join(line for (line,) in lines)


def test_who_is_in_the_way_of_a_held_row_is_looked_up_by_index(deep: "psycopg.Connection") -> None:
    found = plan(deep, "select state from outbox.held_state")
    assert found.count("Seq Scan on outbox.held ") == 1, found
    assert found.count("using held_failed on outbox.held") == 3, found


@pytest.mark.parametrize("topic", ["a", "b", "c"])
def test_the_state_of_one_message_reads_no_table_whole(deep: "psycopg.Connection", topic: str) -> None:
    ((id_,),) = deep.execute("select id from outbox.message where topic = %s limit 1", [topic]).fetchall()
    found = plan(deep, f"select state, sent_at from outbox.message_state where id = '{id_}'")
    assert "Seq Scan on outbox.held" not in found, found
    assert "Seq Scan on outbox.message_0" not in found, found


def test_the_time_of_sending_is_searched_only_where_somebody_asks(deep: "psycopg.Connection") -> None:
    assert "outbox.sent_at(" in plan(deep, "select sent_at from outbox.message_state")
    assert "outbox.sent_at(" not in plan(deep, "select state, count(*) from outbox.message_state group by state")
