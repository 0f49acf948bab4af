"""How a worker connects to PostgreSQL: what its sessions pin, and how they end when either side does.

Guarantees: a commit on such a session is on the disk before Kafka hears of it; a worker that hangs in the middle of a
transaction loses it within two minutes, so that the one that has its partitions now goes on.
"""

from typing import Any

import psycopg

from app_integration.variables import where
from app_integration.workers.verdict import Outage, say

PIN = """
-- pin_session: an effect that a crash could undo after its offset was committed would be lost; whoever chose `local` or
-- `remote_apply` keeps it. A role's or database's own defaults must not end what a worker does, nor change what it
-- means: a message that always meets a time limit would never be handled. The last one is of PostgreSQL 17 and newer
select set_config('synchronous_commit', case current_setting('synchronous_commit') when 'off' then 'on'
                                        else current_setting('synchronous_commit') end, false),
       set_config('idle_in_transaction_session_timeout', '120s', false),
       set_config('lock_timeout', '10s', false),
       set_config('statement_timeout', '0', false),
       set_config('idle_session_timeout', '0', false),
       set_config('default_transaction_isolation', 'read committed', false),
       set_config('default_transaction_read_only', 'off', false),
       set_config('timezone', 'UTC', false),
       set_config('client_connection_check_interval', '1s', false),
       (select set_config(name, '0', false) from pg_settings where name = 'transaction_timeout')
"""

KEEPALIVE: dict[str, Any] = {
    "connect_timeout": 5,
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 4,
    "tcp_user_timeout": 15_000,
}
"""How a cut network is noticed within 15 s (libpq's connection parameters)."""


def connect(database_url: str, name: str) -> "psycopg.Connection[Any]":
    """Open a session in autocommit mode; transactions are begun by name.

    Args:
        database_url: where; a libpq URL.
        name: shown in `pg_stat_activity`.

    Raises:
        Outage: it cannot be had now.
    """
    connection = None
    try:
        connection = psycopg.connect(database_url, autocommit=True, application_name=f"worker {name}", **KEEPALIVE)
        connection.execute(PIN)
    except psycopg.Error as error:
        if connection is not None:
            connection.close()
        raise Outage(f"the database at {where(database_url)} refuses a session: {say(error)}") from None
    return connection
