"""Time limits of the database are the worker's own; a message that outlasts one each time ends as any that fails."""

import time

from psycopg import sql

from app_integration.workers import Backoff, Received, Worker
from tests.integration.workers.conftest import Connection, Produce, Run, rows, wait_until, way

ATTEMPTS = 3


def worker(topic: str) -> Worker:
    return Worker("test", (topic,), handle, backoff=Backoff(0.05, 0.05, ATTEMPTS))


def handle(connection: Connection, message: Received) -> None:
    match message.value:
        case b"slow":
            connection.execute("select pg_sleep(0.5)")
        case b"cancelled":
            connection.execute("set local statement_timeout = '50ms'")
            connection.execute("select pg_sleep(60)")
        case b"hangs, then asks":
            outlast(connection)
            connection.execute("select 1")
        case b"hangs, then is done":
            outlast(connection)
        case b"closes":
            connection.close()


def outlast(connection: Connection) -> None:
    """Work outside the database for longer than it lets a transaction be idle."""
    connection.execute("set local idle_in_transaction_session_timeout = '100ms'")
    time.sleep(0.3)


def test_limits_and_defaults_of_the_database_do_not_end_what_a_worker_does(
    topic: str, session: Connection, produce: Produce, run: Run
) -> None:
    name = sql.Identifier(session.info.dbname)
    for default in ("statement_timeout = 200", "idle_session_timeout = 200", "default_transaction_read_only = on"):
        session.execute(sql.SQL("alter database {} set " + default).format(name))
    if session.info.server_version >= 170000:
        session.execute(sql.SQL("alter database {} set transaction_timeout = 200").format(name))
    one = produce(topic, b"slow")
    with run(worker(topic)):
        wait_until(lambda: way(session, one))
    assert way(session, one) == [("test", "handled", 1, None)]


def test_message_that_outlasts_a_limit_each_time_is_dead_in_the_end_and_others_go_on(
    topic: str, session: Connection, produce: Produce, run: Run
) -> None:
    limits = {
        b"cancelled": "QueryCanceled",
        b"hangs, then asks": "IdleInTransactionSessionTimeout",
        b"hangs, then is done": "IdleInTransactionSessionTimeout",
        b"closes": "swallowed an error",
    }
    bad = {produce(topic, value, key="k"): error for value, error in limits.items()}
    good = produce(topic, b"good", key="k")
    # Two: while one still hangs, the other may have what the first has lost with its session.
    with run(worker(topic)), run(worker(topic)):
        wait_until(lambda: len(rows(session, "select 1 from worker.held where dead_at is not null")) == len(bad))
    for one, error in bad.items():
        [(_, outcome, attempts, told)] = way(session, one)
        assert (outcome, attempts) == ("dead", ATTEMPTS)
        assert error in told
    assert way(session, good) == [("test", "handled", 1, None)]
