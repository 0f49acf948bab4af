"""One benchmark at a time: two on one server would each measure the other."""

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg

from relay.connection import refused, where
from relay.errors import UserMistake

NAME = "relay-bench alone"
"""The application_name of the session that every benchmark keeps open; all roles see it in `pg_stat_activity`."""

OTHERS = """
-- other_benchmarks
select count(*) from pg_stat_activity where application_name = current_setting('application_name')
                                        and pid <> pg_backend_pid()
"""


@contextmanager
def alone(server_url: str) -> Iterator[None]:
    """Be the only benchmark on a server while the context lasts.

    Args:
        server_url: the server; empty where one is started for this benchmark alone.

    Raises:
        UserMistake: another is running there, or the server refuses the role.
        DatabaseUnreachable: nobody answers.
    """
    if not server_url:
        yield
        return
    try:
        connection = psycopg.connect(server_url, autocommit=True, connect_timeout=5, application_name=NAME)
    except psycopg.OperationalError as error:
        raise refused(server_url, error) from None
    with connection:
        if connection.execute(OTHERS).fetchone() != (0,):
            raise UserMistake(
                f"another benchmark is running at {where(server_url)}, and each would measure the other: wait for its "
                "end"
            )
        yield
