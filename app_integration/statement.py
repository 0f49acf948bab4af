"""The statements that write messages, for every driver. Pure: built here, executed elsewhere.

One message is a plain INSERT of one row. Several go as one array per column and a row per element: the same
statement however many, compiled and prepared once, one round trip. `seq` is drawn as the arrays are read, so
messages are written in the order given. There is no `RETURNING`, which the application's role has no right
to; ids are made by the caller.
"""

from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from typing import Any

from sqlalchemy import ARRAY, ColumnElement, Dialect, Insert, Text, bindparam, cast, func, insert, select
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.dialects.postgresql.psycopg import dialect as psycopg_dialect

from app_integration.message import Row
from relay.schema import message

ROWS_PER_STATEMENT = 1_000
"""Enough that the round trip weighs nothing."""

BYTES_PER_STATEMENT = 16 * 1024 * 1024
"""Of payload. PostgreSQL takes no parameter above 1 GiB, and both ends hold each in memory several times."""

_SAME_IN_ALL = ("id", "topic", "key", "type", "payload", "content_type", "deliver_after")


def _insert_one() -> Insert:
    given: dict[str, ColumnElement[Any]] = {name: bindparam(name, type_=message.c[name].type) for name in _SAME_IN_ALL}
    # Text until the database parses it: the headers were checked and serialised once, as the row was made.
    given["headers"] = cast(bindparam("headers", type_=Text), JSONB)
    return insert(message).values(given)


def _insert_many() -> Insert:
    given: dict[str, ColumnElement[Any]] = {
        name: func.unnest(bindparam(name, type_=ARRAY(message.c[name].type))) for name in _SAME_IN_ALL
    }
    given["headers"] = cast(func.unnest(bindparam("headers", type_=ARRAY(Text))), JSONB)
    return insert(message).from_select(list(given), select(*given.values()), include_defaults=False)


INSERT_ONE = _insert_one()
INSERT_MANY = _insert_many()


def insertion(rows: Sequence[Row]) -> tuple[Insert, dict[str, Any]]:
    """Choose the statement for one or several rows, with its arguments."""
    if len(rows) == 1:
        return INSERT_ONE, rows[0]._asdict()
    return INSERT_MANY, dict(zip(Row._fields, map(list, zip(*rows, strict=True)), strict=True))


@cache
def for_psycopg(statement: Insert) -> bytes:
    """Render a statement as psycopg executes it, with the same arguments."""
    dialect: Dialect = psycopg_dialect()  # type: ignore[no-untyped-call]
    return str(statement.compile(dialect=dialect)).encode()


def batches(rows: Iterable[Row]) -> Iterator[list[Row]]:
    """Share rows out over statements, in order, by number and by bytes."""
    batch: list[Row] = []
    weight = 0
    for row in rows:
        if batch and (len(batch) == ROWS_PER_STATEMENT or weight + len(row.payload or b"") > BYTES_PER_STATEMENT):
            yield batch
            batch, weight = [], 0
        batch.append(row)
        weight += len(row.payload or b"")
    if batch:
        yield batch
