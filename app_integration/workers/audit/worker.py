"""The worker `audit`: appends each entry to its chain, in one commit with the mark that it was appended.

Guarantees: numbers have no gaps, for a number is drawn under the chain's lock and lasts only with its entry;
instances that append to one chain take turns, in the order of the chains' names, so that they never wait for each
other in a ring.
"""

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

from app_integration.contracts import KAFKA_TOPICS, AuditEntry
from app_integration.workers.audit import chain as chains
from app_integration.workers.contract import read
from app_integration.workers.received import Received
from app_integration.workers.worker import Connection, Worker

LOCK = """
-- lock_chain: until the commit
select pg_advisory_xact_lock(hashtextextended('outbox-relay audit chain ' || %(chain)s, 0))
"""

LAST = """
-- last_of_chain: asked once the lock is held
select number, hash from worker.audit_entry where chain = %(chain)s order by number desc limit 1
"""

APPEND = """
-- append_entry
insert into worker.audit_entry (chain, number, entry, hash) values (%(chain)s, %(number)s, %(entry)s, %(hash)s)
"""


def append(connection: Connection, messages: Sequence[Received]) -> None:
    """Append entries, those of one chain in their order.

    Raises:
        Reject: one of them is none.
    """
    entries = [(message, read(message, AuditEntry, KAFKA_TOPICS.AUDIT_LOGS)) for message in messages]
    entries.sort(key=lambda pair: pair[1].chain)
    for chain, group in groupby(entries, key=lambda pair: pair[1].chain):
        connection.execute(LOCK, {"chain": chain})
        row = connection.execute(LAST, {"chain": chain}).fetchone()
        number, before = (row[0], bytes(row[1])) if row else (0, chains.root(chain))
        rows = []
        for message, said in group:
            number += 1
            made = chains.append(chain, number, before, _document(message, said))
            before = made.hash
            rows.append({"chain": chain, "number": number, "entry": made.text, "hash": made.hash})
        with connection.cursor() as cursor:
            cursor.executemany(APPEND, rows)


def _document(message: Received, said: AuditEntry) -> dict[str, Any]:
    own = said.model_dump(mode="json", by_alias=True)
    return {**own, "id": message.id} | ({"replay": message.replay} if message.replay else {})


def start(_environ: Mapping[str, str]) -> tuple[Worker, Sequence[Any]]:
    """Make the worker; it has no settings of its own."""
    # Ordered: an entry that is retried must not be overtaken by what happened after it.
    return Worker("audit", (KAFKA_TOPICS.AUDIT_LOGS.value,), handle_many=append, ordered=True), ()
