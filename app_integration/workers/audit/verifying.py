"""Reads the audit log and follows its chains. Reads only, in one snapshot, however long it takes."""

from collections.abc import Iterator

from app_integration.workers.audit.chain import Broken, Entry, verify
from app_integration.workers.worker import Connection

CHAINS = """
-- chains
select distinct chain from worker.audit_entry order by chain
"""

READ = """
-- read_chain
select chain, number, entry, hash from worker.audit_entry where chain = %(chain)s order by number
"""

ROWS = 2_000
"""Read at once."""


def verify_all(connection: Connection, only: str | None = None) -> Iterator[Broken | Entry]:
    """Follow every chain, or one; give its first broken entry, or its last entry.

    Args:
        connection: a session in autocommit mode.
        only: the chain that is followed.
    """
    with connection.transaction():
        connection.execute("set transaction isolation level repeatable read, read only")
        names = [only] if only is not None else [row[0] for row in connection.execute(CHAINS).fetchall()]
        for chain in names:
            yield from verify(chain, _entries(connection, chain))


def _entries(connection: Connection, chain: str) -> Iterator[Entry]:
    with connection.cursor("audit_entries") as cursor:
        cursor.itersize = ROWS
        cursor.execute(READ, {"chain": chain})
        for name, number, text, hash_ in cursor:
            yield Entry(name, number, text, bytes(hash_))
