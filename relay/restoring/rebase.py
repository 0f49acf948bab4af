"""Makes recorded positions true again: after a restore from a dump, after pg_upgrade, after a restarted sequence.

Guarantees: it happens whole or not at all, in one transaction; no message is lost, whoever writes meanwhile; no relay
works while it does; two operators take turns, and the second finds nothing left to do. Which messages count as unsent
is judged by `relay.restoring.unsent`, and `relay.restoring.rewrite` writes them anew.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import LiteralString

import psycopg
from psycopg import errors

from relay import locks, revision
from relay.connection import connect, first_line, pin
from relay.errors import DatabaseUnfit, DatabaseUnreachable, UserMistake, WorkFailed
from relay.restoring import rewrite
from relay.restoring.rebase_plan import Plan
from relay.restoring.unsent import survey

RELAYS_TIMEOUT = "5s"
"""How long to wait until no relay is alive: one that was just told to stop, or that comes and refuses to work."""

LOCK_TIMEOUT = "3s"
"""How long to wait for the tables at a time. Meanwhile every new writer waits behind us."""

ATTEMPTS, PAUSE_SECONDS = 8, 1.0
"""How often to try for the tables, and for how long the writers have them to themselves in between."""

KEEP_RELAYS_OUT: LiteralString = """
-- keep_relays_out: every relay that is alive holds the shared form of the first; pruning goes by recorded positions too
select pg_advisory_xact_lock(%(member)s, 0), pg_advisory_xact_lock(%(prune)s, 0)
"""

READ_MEMBERS: LiteralString = """
-- read_members: who holds either lock, in whatever form
select distinct coalesce(nullif(a.application_name, ''), 'process ' || l.pid)
from pg_locks as l
left join pg_stat_activity as a using (pid)
where l.locktype = 'advisory' and l.objsubid = 2 and l.granted
  and l.classid::bigint in (%(member)s, %(prune)s) and l.objid = 0
  and l.database = (select oid from pg_database where datname = current_database()) and l.pid <> pg_backend_pid()
order by 1
"""

LOCK_TABLES: LiteralString = """
-- lock_tables: waits for every open transaction that has written; later statements see what those have committed
lock table outbox.message, outbox.checkpoint, outbox.snapshot in access exclusive mode
"""

READ_USERS: LiteralString = """
-- read_users: who has written to the table and not ended; a prepared transaction has no process
select distinct coalesce('process ' || l.pid || coalesce(' (' || nullif(a.application_name, '') || ')', '')
                         || ', ' || a.state || ', in a transaction for '
                         || round(extract(epoch from clock_timestamp() - a.xact_start)) || ' s',
                         'a prepared transaction (see pg_prepared_xacts)')
from pg_locks as l
left join pg_stat_activity as a using (pid)
where l.granted and l.pid is distinct from pg_backend_pid()
  and l.database = (select oid from pg_database where datname = current_database())
  and l.relation in (select oid from pg_class where relnamespace = 'outbox'::regnamespace)
"""


@dataclass(frozen=True, slots=True)
class Rebased:
    """What was done."""

    messages: int
    """How many were written anew."""
    seconds: float
    """For how long writers had to wait, once the tables were locked."""


def look(database_url: str) -> Plan:
    """Find out what a rebase would do. Changes nothing and keeps nobody waiting.

    Args:
        database_url: a libpq URL; the role may read the outbox.

    Raises:
        UserMistake: there is nothing to rebase.
        SchemaError, DatabaseUnfit, DatabaseUnreachable: as for `rebase`.
    """
    with _session(database_url) as connection:
        plan = survey(connection).plan
    plan.demand()
    return plan


def rebase(database_url: str, why: str) -> Rebased:
    """Write what counts as unsent anew, and let relays begin with it.

    Args:
        database_url: a libpq URL, of the schema's owner.
        why: what to record of the reason.

    Raises:
        UserMistake: there is nothing to rebase, or a relay is alive.
        SchemaError: the outbox is missing, too old or too new.
        DatabaseUnfit: it cannot serve a relay, or a right is missing.
        WorkFailed: the tables could not be had, or the session was lost. Nothing was changed; only where the session
            was lost at the very end it may have been done, and another rebase then finds nothing to do.
    """
    with _session(database_url) as connection:
        with connection.transaction():
            _keep_relays_out(connection)
            found = survey(connection)
            found.plan.demand()
            rewrite.begin(connection, found)
            _lock(connection)
            locked = time.monotonic()
            messages = rewrite.finish(connection, found, why)
        return Rebased(messages, time.monotonic() - locked)


def _keep_relays_out(connection: "psycopg.Connection") -> None:
    """Hold what every relay that is alive holds a share of, to the end of the transaction."""
    at_work = {"member": locks.MEMBER, "prune": locks.PRUNE}
    pin(connection, "lock_timeout", RELAYS_TIMEOUT)
    try:
        with connection.transaction():
            connection.execute(KEEP_RELAYS_OUT, at_work)
    except errors.LockNotAvailable:
        found = connection.execute(READ_MEMBERS, at_work).fetchall()
        names = ", ".join(name.removeprefix(f"{locks.APPLICATION} ") for (name,) in found) or "somebody gone by now"
        raise UserMistake(
            f"a relay, a prune or another rebase is at work in this database ({names}): stop it first, and try again. "
            "Nothing was changed"
        ) from None


def _lock(connection: "psycopg.Connection") -> None:
    """Take the tables for ourselves; let writers go on between two tries, for they wait while we wait."""
    pin(connection, "lock_timeout", LOCK_TIMEOUT)
    for attempt in range(ATTEMPTS):
        if attempt:
            time.sleep(PAUSE_SECONDS)
        try:
            with connection.transaction():
                connection.execute(LOCK_TABLES)
        except (errors.LockNotAvailable, errors.DeadlockDetected):
            continue
        return
    found = "; ".join(user for (user,) in connection.execute(READ_USERS).fetchall())
    raise WorkFailed(
        f"the outbox's tables could not be had in {ATTEMPTS} tries of {LOCK_TIMEOUT}, nothing was changed; they are "
        f"used by {found or 'somebody who is gone by now'}; end that, or try again later"
    )


@contextmanager
def _session(database_url: str) -> "Iterator[psycopg.Connection]":
    """Open a session on an outbox that this release knows; what PostgreSQL refuses is said in our own terms."""
    with connect(database_url, "rebase") as connection:
        try:
            revision.check(connection).demand_current()
            yield connection
        except errors.InsufficientPrivilege as error:
            raise DatabaseUnfit(
                f"role {connection.info.user} lacks a right ({first_line(error)}), nothing was changed; rebase as the "
                "role that owns schema outbox"
            ) from None
        except errors.LockNotAvailable as error:
            raise WorkFailed(f"a lock could not be had ({first_line(error)}), nothing was changed; try again") from None
        except psycopg.OperationalError as error:
            raise DatabaseUnreachable(
                f"the session was lost: {first_line(error)}; try again: what was done is not done twice"
            ) from None
