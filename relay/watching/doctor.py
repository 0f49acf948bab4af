"""Whether everything is in place for a relay to work, a finding for each check, with its mend. Changes nothing.

Guarantees: every check that can be made is made; one that fails hides no other, except that nothing more is asked of a
server that does not answer. What was read is judged in `relay.watching.findings`.
"""

import time
from collections.abc import Iterator
from typing import Any, LiteralString

import psycopg
from psycopg import errors

from relay import revision, rights
from relay.configuration.settings import Settings
from relay.connection import connect, first_line, where
from relay.errors import BrokerRefuses, BrokerUnreachable, DatabaseUnfit, DatabaseUnreachable
from relay.publishing import topics
from relay.publishing.broker import admin, metadata
from relay.restoring.unsent import read_marks
from relay.watching.findings import Finding, Level, clock, forgers, positions, prepared, pruning, replication, topic
from relay.watching.roles import examine_roles

READ_REPLICATION = """
-- read_replication: to a role that may not see more, a standby is there without its state
select pg_has_role('pg_read_all_stats', 'usage'), current_setting('synchronous_standby_names'), count(*)::int
from pg_stat_replication as r
where coalesce(r.state, 'streaming') = 'streaming'
  and not exists (select from pg_replication_slots as s where s.active_pid = r.pid and s.slot_type = 'logical')
"""

READ_CLOCK = """
-- read_clock
select extract(epoch from clock_timestamp())::float8
"""

READ_FORGERS = """
-- read_forgers: roles, beside superusers and the owner, that could write the columns which only defaults should fill
select case when r.oid = 0 then 'public (everyone)' else r.rolname::text end
from (select 0::oid as oid, 'public'::name as rolname, false as rolsuper
      union all select oid, rolname, rolsuper from pg_roles where rolname !~ '^pg_') as r
join pg_class as message on message.oid = 'outbox.message'::regclass
cross join (values ('xid'), ('seq'), ('slot'), ('shard')) as guarded(name)
where not r.rolsuper
  and not (r.oid <> 0 and pg_has_role(nullif(r.oid, 0), message.relowner, 'usage'))
  and case when r.oid = 0
      then has_column_privilege('public', message.oid, guarded.name, 'insert, update')
      else has_column_privilege(r.oid, message.oid, guarded.name, 'insert, update') end
group by r.oid, r.rolname
order by r.oid <> 0, 1
"""

READ_PREPARED = """
-- read_prepared: how many transactions may be prepared, and whether the doorbell would ring in them
select current_setting('max_prepared_transactions')::int,
       exists (select from pg_trigger where tgrelid = 'outbox.message'::regclass and tgname = 'doorbell'
               and tgenabled <> 'D')
"""


def examine(settings: Settings) -> Iterator[Finding]:
    """Make every check, those of PostgreSQL first, and yield each finding as it is known."""
    yield from _database(settings)
    yield from _kafka(settings)


def _database(settings: Settings) -> Iterator[Finding]:
    try:
        connection = connect(settings.database_url, "doctor")
    except DatabaseUnreachable as error:
        yield Finding("database", Level.UNREACHABLE, str(error), "start it, or correct DATABASE_URL")
        return
    except DatabaseUnfit as error:
        text, _, mend = str(error).partition("; ")
        yield Finding("database", Level.PROBLEM, text, mend)
        return
    version = connection.info.server_version
    place = where(settings.database_url)
    yield Finding("database", Level.OK, f"PostgreSQL {version // 10000}.{version % 10000} at {place}")
    yield Finding("connection", Level.OK, "direct, to the primary")
    with connection:
        try:
            yield clock(_clock_offset(connection))
            yield replication(settings.durability, *_row(connection, READ_REPLICATION))
            yield from _outbox(connection)
        except psycopg.OperationalError as error:
            yield Finding("database", Level.UNREACHABLE, f"the session was lost: {first_line(error)}", "try again")


def _outbox(connection: "psycopg.Connection") -> Iterator[Finding]:
    schema, granted = _schema(connection), _rights(connection)
    yield schema
    if schema.level is not Level.OK:
        return
    yield granted
    if granted.level is not Level.OK:
        return
    yield pruning(connection.info.user, rights.missing_for_pruning(connection))
    yield forgers([name for (name,) in connection.execute(READ_FORGERS).fetchall()])
    yield from examine_roles(connection)
    yield prepared(*_row(connection, READ_PREPARED))
    yield from positions(read_marks(connection))


def _schema(connection: "psycopg.Connection") -> Finding:
    try:
        check = revision.check(connection)
    except errors.InsufficientPrivilege as error:
        return Finding("schema", Level.PROBLEM, first_line(error), _grant(connection))
    if check.mend:
        found, _, mend = check.mend.partition("; ")
        return Finding("schema", Level.PROBLEM, found, mend)
    return Finding("schema", Level.OK, f"revision {check.current}, which this relay works with")


def _grant(connection: "psycopg.Connection") -> str:
    return f"grant usage on schema outbox, and select on outbox.schema_version, to {connection.info.user}"


def _rights(connection: "psycopg.Connection") -> Finding:
    role = connection.info.user
    try:
        missing = [right for (right,) in connection.execute(rights.MISSING_RIGHTS).fetchall()]
    except (errors.InsufficientPrivilege, errors.UndefinedTable, errors.InvalidSchemaName) as error:
        return Finding("rights", Level.PROBLEM, first_line(error), _grant(connection))
    if missing:
        return Finding("rights", Level.PROBLEM, f"role {role} lacks: {', '.join(missing)}", f"grant them to {role}")
    return Finding("rights", Level.OK, f"role {role} may read messages and record what is sent")


def _row(connection: "psycopg.Connection", statement: LiteralString) -> tuple[Any, ...]:
    row = connection.execute(statement).fetchone()
    assert row is not None
    return tuple(row)


def _clock_offset(connection: "psycopg.Connection") -> float:
    """How many seconds this machine is ahead of the database, within half a round trip."""
    before = time.time()
    (theirs,) = _row(connection, READ_CLOCK)
    return (before + time.time()) / 2 - float(theirs)


def _kafka(settings: Settings) -> Iterator[Finding]:
    client = admin(settings)
    try:
        found = metadata(client, settings)
        states = topics.read(settings)
    except BrokerRefuses as error:
        text, _, mend = str(error).rpartition("; ")
        yield Finding("kafka", Level.PROBLEM, text, mend)
        return
    except BrokerUnreachable as error:
        text, _, mend = str(error).partition("; ")
        yield Finding("kafka", Level.UNREACHABLE, text, mend)
        return
    brokers = f"{len(found.brokers)} broker{'' if len(found.brokers) == 1 else 's'}"
    yield Finding("kafka", Level.OK, f"{brokers} of cluster {found.cluster_id} at {settings.kafka_brokers}")
    for state in states:
        yield topic(state)
    if not states:
        yield Finding("topics", Level.OK, "none are listed: each goes to the topic of its own name")
