"""Which revision of the outbox schema this relay works with, and whether a database has it.

Guarantees: `KNOWN_REVISIONS` are all the migrations, oldest first, and `REVISION` is the newest (a test
compares them with the migrations). Imports neither SQLAlchemy nor Alembic, for a running relay asks here, and
no driver, for `relay.schema` has its revision from here.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from relay.errors import SchemaError

if TYPE_CHECKING:
    import psycopg

KNOWN_REVISIONS = ("0001",)
"""All revisions that this release knows, in order."""

REVISION = KNOWN_REVISIONS[-1]
"""The revision that this release was made for. It works with no older one, and with newer ones that say so.

Each schema declares the oldest revision whose relays may run on it (`outbox.oldest_relay`). So a fleet is rolled
without a stop: the schema is migrated first, by a step that only adds, then one relay after another is replaced; what
nobody uses any more is taken away by a later release."""

FIND_TABLES = """
-- find_tables: asked first, so that a missing table is an answer and not an error; of the catalogs, which need no
-- right. A schema that was taken back has an empty version table and no rights: without messages it need not be read
select coalesce((select has_message
                        or has_schema_privilege(relnamespace, 'usage') and has_table_privilege(oid, 'select')
                 from pg_class where relname = 'schema_version' and relnamespace = outbox), false),
       has_message,
       exists (select from pg_proc where proname = 'oldest_relay' and pronamespace = outbox)
from (select (select oid from pg_namespace where nspname = 'outbox') as outbox) as schema
cross join lateral (
    select exists (select from pg_class where relname = 'message' and relnamespace = outbox) as has_message
) as tables
"""

READ_REVISION = """
-- read_revision
select max(version_num) from outbox.schema_version
"""

READ_OLDEST_RELAY = """
-- read_oldest_relay
select outbox.oldest_relay()
"""


class State(StrEnum):
    """How a database's outbox schema relates to this release."""

    CURRENT = "current"
    AHEAD = "ahead"
    """Newer than this release knows, and it says that this release works with it."""
    MISSING = "missing"
    TOO_OLD = "too old"
    TOO_NEW = "too new"
    UNRECORDED = "unrecorded"
    """The tables are there but no revision is: a dump restored without its data."""


MENDS = {
    State.MISSING: "there is no outbox schema; make it with: relay migrate",
    State.TOO_OLD: "the outbox schema is at revision {current}, this relay needs {head}; run: relay migrate",
    State.TOO_NEW: (
        "the outbox schema is at revision {current}, newer than this relay knows ({head}); "
        "install the release of outbox-relay that migrated it"
    ),
    State.UNRECORDED: (
        "schema outbox has tables but no recorded revision (a dump restored without its data?); "
        "restore it with data, or drop schema outbox cascade and run: relay migrate"
    ),
}


@dataclass(frozen=True, slots=True)
class Check:
    """What a look at the schema found."""

    state: State
    current: str | None
    """The revision that the database records, if any."""
    head: str = REVISION
    """The revision that this release works with."""

    @property
    def mend(self) -> str | None:
        """What is wrong and what to do about it; None when nothing is."""
        if self.state in (State.CURRENT, State.AHEAD):
            return None
        return MENDS[self.state].format(current=self.current, head=self.head)

    def demand(self) -> None:
        """Go on only with a schema that this release works with.

        Raises:
            SchemaError: it is missing, too old, too new or unrecorded; the text says which, and the mend.
        """
        if self.mend:
            raise SchemaError(self.mend)

    def demand_current(self) -> None:
        """Go on only with the very schema that this release was made for, as whoever rewrites or drops it must.

        Raises:
            SchemaError: as for `demand`, and where it is ahead.
        """
        self.demand()
        if self.state is State.AHEAD:
            raise SchemaError(MENDS[State.TOO_NEW].format(current=self.current, head=self.head))


def moved(before: str | None, after: str | None) -> str:
    """Say in words what became of a schema."""
    if before is None:
        return f"was made: {after}"
    return f"is current: {after}" if before == after else f"was at {before}, and is at {after} now"


def judge(
    current: str | None, *, tables: bool, oldest_relay: str | None = None, known: Sequence[str] = KNOWN_REVISIONS
) -> Check:
    """Decide what a recorded revision means.

    Args:
        current: the revision recorded in the database, or None.
        tables: whether `outbox.message` exists.
        oldest_relay: the oldest revision whose relays may run on that schema, where it declares one.
        known: all revisions of this release, oldest first.
    """
    if current is None:
        state = State.UNRECORDED if tables else State.MISSING
    elif current not in known:
        state = State.AHEAD if oldest_relay in known else State.TOO_NEW
    else:
        state = State.CURRENT if current == known[-1] else State.TOO_OLD
    return Check(state, current, known[-1])


def check(connection: "psycopg.Connection") -> Check:
    """Look up which revision a database has. Reads only.

    Raises:
        psycopg.errors.InsufficientPrivilege: the role may not use schema outbox or read its version table.
    """
    found = connection.execute(FIND_TABLES).fetchone()
    assert found is not None
    versioned, tables, declares = found
    row = connection.execute(READ_REVISION).fetchone() if versioned else None
    current = row[0] if row else None
    # Asked of newer schemas only: where this one is older, there may be nothing to ask.
    oldest = connection.execute(READ_OLDEST_RELAY).fetchone() if declares and current not in KNOWN_REVISIONS else None
    return judge(current, tables=tables, oldest_relay=oldest[0] if oldest else None)
