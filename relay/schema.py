"""The message table as SQLAlchemy knows it, for the side that enqueues. A leaf: it imports SQLAlchemy only.

The migrations make the tables and a test compares the two. Writers name `id`, `topic`, `key`, `type`, `payload`,
`content_type`, `headers` and `deliver_after` and leave every other column to the database: a row with a false
`xid` or a low `seq` would never be sent, silently.
"""

from collections.abc import MutableMapping
from typing import Any, Final, Literal

from sqlalchemy import (
    BigInteger,
    Column,
    Computed,
    DateTime,
    FetchedValue,
    Identity,
    LargeBinary,
    MetaData,
    SmallInteger,
    Table,
    Text,
    Uuid,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.types import UserDefinedType

from relay.revision import KNOWN_REVISIONS, REVISION

__all__ = ["KNOWN_REVISIONS", "REVISION", "SCHEMA", "Xid8", "leave_outbox_alone", "message", "metadata"]

SCHEMA: Final = "outbox"

ParentKey = Literal["schema_name", "table_name", "schema_qualified_table_name"]
"""What Alembic tells a name filter about the parents of a name."""


class Xid8(UserDefinedType[int]):
    """PostgreSQL's 64-bit transaction id, which never wraps around. Only the database makes one."""

    cache_ok = True

    def get_col_spec(self, **_: Any) -> str:
        """Name the type as PostgreSQL does."""
        return "xid8"


metadata = MetaData(schema=SCHEMA)
"""The outbox's own metadata, apart from an application's: the relay's migrations make these tables."""

message = Table(
    "message",
    metadata,
    # Defaults are evaluated in column order, and a transaction needs its xid before it draws a number.
    Column("xid", Xid8, FetchedValue(), nullable=False),
    Column("seq", BigInteger, Identity(always=True), primary_key=True),
    Column("slot", SmallInteger, FetchedValue(), primary_key=True, autoincrement=False),
    Column("shard", SmallInteger, Computed(""), primary_key=True, autoincrement=False),
    Column("id", Uuid, FetchedValue(), nullable=False),
    Column("topic", Text, nullable=False),
    Column("key", Text),
    Column("type", Text),
    Column("payload", LargeBinary),
    Column("content_type", Text, FetchedValue()),
    Column("headers", JSONB(none_as_null=True)),
    Column("deliver_after", DateTime(timezone=True)),
    Column("created_at", DateTime(timezone=True), FetchedValue(), nullable=False),
    # A writer's role may insert but not read: `RETURNING` would be refused.
    implicit_returning=False,
)
"""One row is one message. `key` null: no order; `payload` null: a tombstone."""


def leave_outbox_alone(
    name: str | None,
    type_: str,
    _parent_names: MutableMapping[ParentKey, str | None],
) -> bool:
    """Keep an application's Alembic autogenerate away from schema `outbox`; pass it as `include_name`.

    Needed where the application's `env.py` says `include_schemas=True`: autogenerate would else propose to
    drop the outbox's tables, which its metadata does not know.

    Args:
        name: what autogenerate is about to reflect.
        type_: its kind; only schemas are judged.

    Returns:
        False for schema `outbox`, so that nothing in it is looked at; True for all else.

    Example:
        context.configure(
            connection,
            target_metadata=metadata,
            include_schemas=True,
            include_name=leave_outbox_alone,
        )
    """
    return not (type_ == "schema" and name == SCHEMA)
