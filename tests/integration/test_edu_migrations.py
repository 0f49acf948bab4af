"""The schemas of workers, real time and example: made, taken away and made again, each apart from the others."""

from typing import Any
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql

from app_integration.example.migrate import MIGRATIONS as EXAMPLE
from app_integration.migrations import Migrations
from app_integration.realtime.migrate import MIGRATIONS as REALTIME
from app_integration.workers.migrate import MIGRATIONS as WORKERS
from relay.errors import DatabaseUnfit, DatabaseUnreachable, SchemaError

ALL = (WORKERS, REALTIME, EXAMPLE)

OBJECTS = """
select n.nspname || '.' || c.relname from pg_class c join pg_namespace n on n.oid = c.relnamespace
where n.nspname = any(%s) and c.relkind = 'r'
union all
select n.nspname || '.' || p.proname from pg_proc p join pg_namespace n on n.oid = p.pronamespace
where n.nspname = any(%s)
"""


def objects(connection: "psycopg.Connection[Any]") -> set[str]:
    names = ["payment_sandbox", *(each.schema for each in ALL)]
    return {name for (name,) in connection.execute(OBJECTS, (names, names))}


def test_each_schema_is_made_taken_away_and_made_again(database: str) -> None:
    with psycopg.connect(database, autocommit=True) as connection:
        for each in ALL:
            with pytest.raises(SchemaError, match=f"make it with: {each.command}"):
                each.demand(connection)
            each.upgrade(database)
        made = objects(connection)
        for each in ALL:
            each.upgrade(database)
            each.demand(connection)
            each.downgrade(database)
            with pytest.raises(SchemaError, match="there is no schema of"):
                each.demand(connection)
        assert objects(connection) == {f"{each.schema}.schema_version" for each in ALL}
        for each in ALL:
            each.upgrade(database)
        assert objects(connection) == made


@pytest.mark.parametrize("each", ALL, ids=lambda each: each.schema)
def test_another_revision_and_a_missing_right_are_told_with_their_mend(database: str, each: Migrations) -> None:
    each.upgrade(database)
    role = f"stranger-{uuid4().hex[:8]}"
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(f"update {each.schema}.schema_version set version_num = '9999'".encode())
        with pytest.raises(SchemaError, match="is at revision 9999, this release needs 0001"):
            each.demand(connection)
        connection.execute(sql.SQL("create role {}").format(sql.Identifier(role)))
        try:
            connection.execute(sql.SQL("set role {}").format(sql.Identifier(role)))
            with pytest.raises(DatabaseUnfit, match=f"grant it usage on schema {each.schema}"):
                each.demand(connection)
        finally:
            connection.execute("reset role")
            connection.execute(sql.SQL("drop role {}").format(sql.Identifier(role)))


def test_a_database_that_is_not_there_is_one_line_without_its_password() -> None:
    with pytest.raises(DatabaseUnreachable) as refused:
        WORKERS.upgrade("postgresql://u:geheim@127.0.0.1:1/none")
    assert "geheim" not in str(refused.value)
    assert "\n" not in str(refused.value)
