"""How the relay connects to PostgreSQL: what its sessions pin, and what makes a database unfit to serve one.

Guarantees: every session that it returns is direct (no pooler between), on a primary, autocommit, and dies within
seconds when either side is killed or cut off. Knows nothing of messages.
"""

from typing import LiteralString

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from relay import locks
from relay.admission import mend_of, mend_of_trust
from relay.certificate_probe import why_not_trusted
from relay.errors import DatabaseUnfit, DatabaseUnreachable

OLDEST_POSTGRES = 140000
"""`client_connection_check_interval` and `pg_snapshot` functions as used here: PostgreSQL 14 and newer."""

PINNED: dict[LiteralString, str] = {
    # A checkpoint that a crash could undo would be a promise of progress that was never made. Standbys are not waited
    # for: without any such a wait never ends, and what a failover undoes of our progress is published once more.
    "synchronous_commit": "local",
    # A killed relay's backend that is busy would keep its leases until its statement ended.
    "client_connection_check_interval": "1s",
    # A cut network says nothing: the server must find out by itself and give the leases back, soon enough for another
    # relay to have taken the shards within 10 s. Both times must fit into that together: a session at rest is given up
    # when its keepalives have gone unanswered for as long, but let a notification be sent to it just before, and Linux
    # counts anew, from the first repetition of what was sent (tcp_keepalive_timer and tcp_write_timeout).
    "tcp_keepalives_idle": "2",
    "tcp_keepalives_interval": "1",
    "tcp_keepalives_count": "2",
    "tcp_user_timeout": "4000",
    # A role's or database's own defaults must not end a lease or change what a statement means.
    "idle_session_timeout": "0",
    "idle_in_transaction_session_timeout": "0",
    "statement_timeout": "0",
    "lock_timeout": "0",
    "default_transaction_isolation": "read committed",
    "default_transaction_read_only": "off",
    "search_path": "pg_catalog",
    "timezone": "UTC",
    "client_encoding": "UTF8",
}

STANDBY = "this PostgreSQL is a standby (in recovery): point DATABASE_URL at the primary"

KEEPALIVE = {
    "connect_timeout": 5,
    "keepalives_idle": 2,
    "keepalives_interval": 1,
    "keepalives_count": 2,
    "tcp_user_timeout": 4000,
}
"""The client's half of noticing a cut within 10 s (libpq's connection parameters)."""

INSPECT = """
-- inspect_session
select pg_backend_pid(), current_setting('server_version_num')::int, pg_is_in_recovery(),
       current_setting('server_encoding')
"""

WHICH = """
-- which_server
select system_identifier, pg_postmaster_start_time() from pg_control_system()
"""


def too_old(server_version_num: int) -> bool:
    """Whether a PostgreSQL of this `server_version_num` (150004 is 15.4) is older than the relay needs."""
    return server_version_num < OLDEST_POSTGRES


def unfit(server_version_num: int, *, direct: bool) -> str | None:
    """Say why a session cannot serve a relay, or return None when it can."""
    if too_old(server_version_num):
        return f"PostgreSQL {server_version_num // 10000} is too old: the relay needs 14 or newer; upgrade the server"
    if not direct:
        return (
            "there is a connection pooler between the relay and PostgreSQL: leases are session locks, which a pooler "
            "would hand to others; point DATABASE_URL at PostgreSQL itself (applications may stay behind the pooler)"
        )
    return None


def connect(database_url: str, relay: str) -> "psycopg.Connection":
    """Open a session that a relay can rely on.

    Args:
        database_url: a libpq URL or connection string.
        relay: the relay's name, shown in `pg_stat_activity`.

    Raises:
        DatabaseUnreachable: nobody answers, or the answer may change (starting up, too many clients, a standby).
        DatabaseUnfit: this can never work: wrong credentials, no such database, too old, a pooler.
    """
    try:
        connection = psycopg.connect(
            database_url,
            autocommit=True,
            application_name=locks.application_name(relay),
            **KEEPALIVE,  # type: ignore[arg-type]
            **primary_of_several(database_url),  # type: ignore[arg-type]
        )
    except psycopg.OperationalError as error:
        raise refused(database_url, error) from None
    try:
        _prepare(connection)
    except psycopg.Error as error:
        connection.close()
        raise DatabaseUnreachable(f"the database closed a new session: {first_line(error)}") from error
    except DatabaseUnfit:
        connection.close()
        raise
    return connection


def primary_of_several(database_url: str) -> dict[str, str]:
    """Ask libpq for the primary where a URL names several servers: the first that answers may be a standby."""
    parts = conninfo_to_dict(database_url)
    several = "," in str(parts.get("host", parts.get("hostaddr", "")))
    return {"target_session_attrs": "primary"} if several and "target_session_attrs" not in parts else {}


def _prepare(connection: "psycopg.Connection") -> None:
    found = connection.execute(INSPECT).fetchone()
    assert found is not None
    pid, version, standby, encoding = found
    if encoding in {b"SQL_ASCII", "SQL_ASCII"}:
        raise DatabaseUnfit("the database has encoding SQL_ASCII, so nobody knows what its text means; use UTF8")
    # A pooler tells its clients process ids of its own, so that it can route cancel requests (as PgBouncer does).
    reason = unfit(version, direct=pid == connection.info.backend_pid)
    if reason:
        raise DatabaseUnfit(reason)
    if standby:
        # Of those that may pass: during a failover the address may lead to a standby that is about to be promoted.
        raise DatabaseUnreachable(STANDBY)
    for name, value in PINNED.items():
        pin(connection, name, value)


def which_server(connection: "psycopg.Connection") -> tuple[object, ...]:
    """Identify the running server behind a session: its cluster, and when it was started."""
    found = connection.execute(WHICH).fetchone()
    assert found is not None
    return tuple(found)


def pin(connection: "psycopg.Connection", name: LiteralString, value: str) -> None:
    """Set a parameter for the whole session."""
    connection.execute(sql.SQL("set {} = {}").format(sql.Identifier(name), value))


def where(database_url: str) -> str:
    """Name the place a URL points at, without its password."""
    try:
        parts = conninfo_to_dict(database_url)
    except psycopg.ProgrammingError:
        return "DATABASE_URL"
    hosts, ports = str(parts.get("host", "localhost")).split(","), str(parts.get("port", "")).split(",")
    servers = zip(hosts, ports * len(hosts) if len(ports) == 1 else ports, strict=False)
    return f"{','.join(f'{host}:{port or 5432}' for host, port in servers)}/{parts.get('dbname', '')}"


def first_line(error: BaseException) -> str:
    """The first line of an error's text, for a log line."""
    return str(error).strip().partition("\n")[0]


def refused(database_url: str, error: psycopg.OperationalError) -> DatabaseUnreachable | DatabaseUnfit:
    """Tell a refusal that a person must mend from one that time may mend."""
    text, place = " ".join(str(error).split()), where(database_url)
    why = why_not_trusted(database_url) if "certificate verify failed" in text else None
    if why:
        return DatabaseUnfit(f"{place} and the relay do not accept each other: certificate verify failed: {why}")
    if mend := mend_of_trust(text):
        return DatabaseUnfit(f"{place} and the relay do not accept each other: {text}; {mend}")
    if mend := mend_of(text):
        return DatabaseUnfit(f"{place} refuses the relay: {text}; {mend}")
    return DatabaseUnreachable(f"{place} does not answer: {text}")
