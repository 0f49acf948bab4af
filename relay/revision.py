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
"""The revision that this release works with, no older and no newer."""

FIND_TABLES = """
-- find_tables: asked first, so that a missing table is an answer and not an error
select to_regclass('outbox.schema_version') is not null, to_regclass('outbox.message') is not null
"""

READ_REVISION = """
-- read_revision
select max(version_num) from outbox.schema_version
"""


class State(StrEnum):
    """How a database's outbox schema relates to this release."""

    CURRENT = "current"
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
        if self.state is State.CURRENT:
            return None
        return MENDS[self.state].format(current=self.current, head=self.head)

    def demand(self) -> None:
        """Go on only with a current schema.

        Raises:
            SchemaError: it is missing, too old, too new or unrecorded; the text says which, and the mend.
        """
        if self.mend:
            raise SchemaError(self.mend)


def judge(current: str | None, *, tables: bool, known: Sequence[str] = KNOWN_REVISIONS) -> Check:
    """Decide what a recorded revision means.

    Args:
        current: the revision recorded in the database, or None.
        tables: whether `outbox.message` exists.
        known: all revisions of this release, oldest first.
    """
    if current is None:
        state = State.UNRECORDED if tables else State.MISSING
    elif current not in known:
        state = State.TOO_NEW
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
    versioned, tables = found
    row = connection.execute(READ_REVISION).fetchone() if versioned else None
    return judge(row[0] if row else None, tables=tables)
