"""A database of one's own on a PostgreSQL server that somebody else pointed at, gone again at the end.

Guarantees: nothing on the server but that database is touched. Locks and notifications are per database, so what works
in it meets nobody else's either.
"""

from contextlib import ExitStack
from urllib.parse import urlsplit

import psycopg
from psycopg import sql

from relay.connection import first_line, refused, where
from relay.errors import DatabaseUnfit, SettingsError, WorkFailed

CREATE = """
-- create_database: template0 is the template that nobody has put anything into
create database {} template {}
"""
DROP = """
-- drop_database: whoever is still connected to it
drop database if exists {} with (force)
"""
NAMED = """
-- databases_named
select datname from pg_database where starts_with(datname, %s)
"""


def own_database(server_url: str, name: str, stack: ExitStack, template: str = "template0") -> str:
    """Make a database on a server.

    Args:
        server_url: any database of the server, as a URL.
        name: how to call the new one.
        stack: drops it when it is left.
        template: the database to copy, one that nobody is connected to.

    Returns:
        The URL of the new database.

    Raises:
        UserMistake: the address is no URL, it refuses the role, or the role may not create a database.
        DatabaseUnreachable: nobody answers.
        WorkFailed: the server cannot make it, for its disk is full, say.
    """
    if "://" not in server_url:
        raise SettingsError("DATABASE_URL must be a URL here: postgresql://user:password@host:port/database")
    with _connect(server_url) as connection:
        stack.callback(_drop, server_url, name)
        try:
            connection.execute(sql.SQL(CREATE).format(sql.Identifier(name), sql.Identifier(template)))
        except psycopg.errors.InsufficientPrivilege:
            raise DatabaseUnfit(
                f"the role of DATABASE_URL may not create a database at {where(server_url)}, and no other than an own "
                "one is touched here: use a role with CREATEDB, or unset DATABASE_URL"
            ) from None
        except psycopg.Error as error:
            raise WorkFailed(f"{where(server_url)} cannot make a database: {first_line(error)}") from None
    return beside(server_url, name)


def beside(server_url: str, name: str) -> str:
    """Return the URL of another database on a server."""
    parts = urlsplit(server_url)
    # libpq lets the query win over the path: left there, it would lead back to the database of somebody else.
    kept = "&".join(option for option in parts.query.split("&") if not option.startswith("dbname="))
    # Not by `geturl`, which leaves out the slashes where there is no host.
    return f"{parts.scheme}://{parts.netloc}/{name}" + (f"?{kept}" if kept else "")


def drop_databases(server_url: str, beginning: str) -> None:
    """Drop the databases whose names begin so, on a server.

    Raises:
        psycopg.Error: nobody answers, or they are somebody else's.
    """
    with psycopg.connect(server_url, autocommit=True, connect_timeout=5) as connection:
        for (name,) in connection.execute(NAMED, [beginning]).fetchall():
            connection.execute(sql.SQL(DROP).format(sql.Identifier(name)))


def _connect(server_url: str) -> "psycopg.Connection":
    try:
        return psycopg.connect(server_url, autocommit=True, connect_timeout=5)
    except psycopg.OperationalError as error:
        raise refused(server_url, error) from None


def _drop(server_url: str, name: str) -> None:
    with psycopg.connect(server_url, autocommit=True, connect_timeout=5) as connection:
        connection.execute(sql.SQL(DROP).format(sql.Identifier(name)))
