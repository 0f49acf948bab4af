"""Makes the schema `realtime`, by the SQL files of `migrations/`, each once and in the order of their names.

Guarantees: a migration happens whole or not at all, and is recorded with it; two operators at once take turns. Alembic
would bring a metadata and an environment for what are a few files of SQL that nobody generates.
"""

from importlib.resources import files

import psycopg

from app_integration.realtime.errors import UserMistake, WorkFailed

TURN = """
-- take_turn: until the transaction ends
select pg_advisory_xact_lock(hashtextextended('app_integration.realtime.migrate', 0))
"""

OUTBOX = """
-- outbox_is_there
select to_regclass('outbox.message') is not null
"""

RECORDED = """
-- recorded
select to_regclass('realtime.migration') is not null
"""

APPLIED = """
-- applied
select name from realtime.migration
"""

NOTE = """
-- note
insert into realtime.migration (name) values (%(name)s)
"""


def migrations() -> list[tuple[str, str]]:
    """Return the names and the SQL of all migrations, in order."""
    folder = files("app_integration.realtime") / "migrations"
    return sorted((file.name, file.read_text("utf-8")) for file in folder.iterdir() if file.name.endswith(".sql"))


def migrate(database_url: str) -> list[str]:
    """Bring the schema up to date, making it where there is none.

    Args:
        database_url: the database that has the outbox; libpq's form of URL.

    Returns:
        The names of the migrations that were applied now.

    Raises:
        UserMistake: the outbox is not there, or a right is missing.
        WorkFailed: the database does not answer.
    """
    try:
        with psycopg.connect(database_url, application_name="realtime migrate", connect_timeout=10) as connection:
            return _migrate(connection)
    except psycopg.OperationalError as error:
        raise WorkFailed(f"the database does not answer: {str(error).splitlines()[0]}") from None
    except psycopg.errors.InsufficientPrivilege as error:
        raise UserMistake(f"a right is missing: {str(error).splitlines()[0]}; migrate as the owner") from None


def _migrate(connection: "psycopg.Connection[tuple[object, ...]]") -> list[str]:
    connection.execute(TURN)
    if connection.execute(OUTBOX).fetchone() != (True,):
        raise UserMistake("this database has no outbox, which real time tells its events by; run `relay migrate` first")
    recorded = connection.execute(RECORDED).fetchone() == (True,)
    before = {name for (name,) in connection.execute(APPLIED)} if recorded else set()
    due = [(name, sql) for name, sql in migrations() if name not in before]
    for name, sql in due:
        connection.execute(sql.encode())
        connection.execute(NOTE, {"name": name})
    return [name for name, _ in due]
