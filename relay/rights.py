"""Whether the outbox in a database is one that this relay works with, and whether its role may do the work."""

import psycopg
from psycopg import errors

from relay import locks, revision
from relay.errors import DatabaseUnfit, DatabaseUnreachable

MISSING_RIGHTS = """
-- missing_rights: what the relay's role may not do, of what it must
select format('%s on %s', wanted.privilege, wanted.relation)
from (values ('select', 'outbox.message'), ('select', 'outbox.checkpoint'), ('insert', 'outbox.checkpoint'),
             ('select', 'outbox.snapshot'), ('insert', 'outbox.snapshot'), ('select', 'outbox.topic_rule'),
             ('select', 'outbox.held'), ('insert', 'outbox.held'), ('update', 'outbox.held')
     ) as wanted(privilege, relation)
where not has_table_privilege(wanted.relation, wanted.privilege)
union all
select format('usage or select on sequence %s', name)
from unnest(array['outbox.message_seq', 'outbox.slot']) as name
where not has_sequence_privilege(name, 'usage, select')
union all
select format('execute on function %s', oid::regprocedure)
from pg_proc
where proname in ('pg_control_system', 'pg_current_wal_flush_lsn', 'pg_current_wal_insert_lsn')
   or (proname = 'pg_logical_emit_message' and proargtypes[2] = 'text'::regtype)
   or oid = to_regproc('outbox.shard_count')
group by oid having not has_function_privilege(oid, 'execute')
"""

MISSING_PRUNING_RIGHTS = """
-- missing_pruning_rights: what a role may not do, of what pruning must
select format('%s on %s', wanted.privilege, wanted.relation)
from (values ('delete', 'outbox.checkpoint'), ('delete', 'outbox.snapshot'), ('delete', 'outbox.held'),
             ('select', 'outbox.rotation'), ('insert', 'outbox.rotation'), ('update', 'outbox.rotation')
     ) as wanted(privilege, relation)
where not has_table_privilege(wanted.relation, wanted.privilege)
union all
select format('%s on outbox.message_%s', privilege, slot)
from generate_series(0, 7) as slot, unnest(array['select', 'truncate']) as privilege
where not has_table_privilege('outbox.message_' || slot, privilege)
union all
select 'update on sequence outbox.slot' where not has_sequence_privilege('outbox.slot', 'update')
"""


CLAIM_REVISION = """
-- claim_revision: for as long as the session lasts
select pg_try_advisory_lock_shared(%(class)s, %(revision)s)
"""


def claim_revision(connection: "psycopg.Connection") -> None:
    """Keep migrations away that this relay could not work with, for as long as the session lasts.

    Before the schema is looked at: one that comes later waits for this relay, one that was earlier is seen.

    Raises:
        DatabaseUnreachable: such a migration is under way; when it is over, the schema says what it means.
    """
    row = connection.execute(CLAIM_REVISION, {"class": locks.REVISION, "revision": int(revision.REVISION)}).fetchone()
    if row != (True,):
        raise DatabaseUnreachable(f"a migration beyond what relays of revision {revision.REVISION} know is under way")


def demand(connection: "psycopg.Connection") -> None:
    """Go on only when the outbox is there, of a revision that this relay works with, and open to its role.

    Raises:
        SchemaError: missing, too old or too new.
        DatabaseUnfit: rights are missing; the text names each.
    """
    role = connection.info.user
    demand_revision(connection)
    missing = [right for (right,) in connection.execute(MISSING_RIGHTS).fetchall()]
    if missing:
        raise DatabaseUnfit(f"role {role} lacks: {', '.join(missing)}; grant outbox_relay to {role}, or each of them")


def demand_revision(connection: "psycopg.Connection") -> None:
    """Go on only when the outbox is there, of a revision that this relay works with.

    Raises:
        SchemaError: missing, too old or too new.
        DatabaseUnfit: the role may not even look.
    """
    try:
        revision.check(connection).demand()
    except errors.InsufficientPrivilege:
        raise DatabaseUnfit(
            f"role {connection.info.user} lacks: usage on schema outbox, select on outbox.schema_version; grant them"
        ) from None


def missing_for_pruning(connection: "psycopg.Connection") -> list[str]:
    """Name what the role lacks of what pruning needs beside the rights of a relay. A relay publishes without them."""
    return [right for (right,) in connection.execute(MISSING_PRUNING_RIGHTS).fetchall()]
