"""The other relays of the database: ties the sessions of a relay together, and ends those of a relay that hangs.

Membership and leases are locks, and a relay whose process stands still keeps them. So each relay looks after the
others: it ends all sessions of one that has been silent for too long (`relay.leasing.silence` decides that), as a role
may do to its own. With the sessions their locks are free, and the next look at the leases shares the shards out.

Guarantees: only sessions that carry the tie of a relay are ever ended, never by a name, which two relays may share, and
none that has stirred since it was found silent. A relay that was only slow gets an error, drops all, and begins anew.
"""

import time

import psycopg
from psycopg import errors

from relay import events, locks
from relay.connection import first_line
from relay.leasing.silence import Hung, Mark, Session, confirmed, hung, namesakes

TIE = """
-- tie: this session to the lease session of its relay
select pg_advisory_lock_shared(%(kind)s, %(relay)s)
"""

WATCH = """
-- watch_relays: the sessions of every relay, and for how long each has been in its state, by the database's clock
select l.objid::bigint, l.classid::bigint = %(loop)s, pid, application_name, backend_start, state_change, state,
       wait_event_type, extract(epoch from clock_timestamp() - state_change)::float8
from pg_locks l join pg_stat_activity using (pid)
where locktype = 'advisory' and objsubid = 2 and granted and classid::bigint in (%(loop)s, %(beside)s)
  and database = (select oid from pg_database where datname = current_database())
order by 1, 3
"""

END = """
-- end_sessions: each only if it is still the one that was found silent, and those of the loop if they still are
select count(*) filter (where pg_terminate_backend(pid))
from unnest(%(pids)s::int[], %(started)s::timestamptz[], %(changed)s::timestamptz[], %(silent)s::bool[])
     as found(pid, started, changed, silent)
join pg_stat_activity as now using (pid)
where now.backend_start = started and (now.state_change = changed or not silent)
"""

NAMESAKE_SECONDS = 15.0
"""How long another relay may carry this one's name unsaid: one that was cut off is followed by itself, and its old
sessions last until the server notices, up to 10 s."""


def tie(connection: "psycopg.Connection", relay: int, kind: int) -> None:
    """Mark a session as one of a relay, for as long as it lasts.

    Args:
        connection: the session.
        relay: the process id of the relay's lease session.
        kind: `locks.LOOP` for a session on which the loop itself works, else `locks.BESIDE`.
    """
    connection.execute(TIE, {"kind": kind, "relay": relay})


def sessions(connection: "psycopg.Connection") -> list[Session]:
    """Look at the sessions of every relay of the database."""
    kinds = {"loop": locks.LOOP, "beside": locks.BESIDE}
    return [Session(*row) for row in connection.execute(WATCH, kinds).fetchall()]


class Fleet:
    """What one relay knows of the others.

    Args:
        connection: its lease session, tied.
        name: the name that it goes by.
        takeover: how many seconds a relay may be silent until its sessions are ended.
        tell: hears what was done.
    """

    def __init__(self, connection: "psycopg.Connection", name: str, takeover: float, tell: events.Tell) -> None:
        self._connection = connection
        self._name = name
        self._me = connection.info.backend_pid
        self._takeover = takeover
        self._tell = tell
        self._suspected: frozenset[Mark] = frozenset()
        self._beyond_reach: set[int] = set()
        self._namesakes: dict[int, float] = {}
        """Since when each relay of the same name has been there; infinity once it was told."""

    def watch(self) -> None:
        """Look at the other relays, and end the sessions of those that hang: at the second look that finds it.

        Raises:
            psycopg.OperationalError: the session is lost, and all leases with it.
        """
        seen = sessions(self._connection)
        found = hung(seen, self._me, self._takeover)
        for one in confirmed(found, self._suspected):
            self._end(one)
        self._suspected = frozenset(mark for one in found for mark in one.marks)
        self._watch_names(namesakes(seen, self._me))

    def _end(self, one: Hung) -> None:
        if one.relay in self._beyond_reach:
            return
        name = one.name.removeprefix(locks.application_name(""))
        try:
            row = self._connection.execute(END, _parameters(one)).fetchone()
        except errors.InsufficientPrivilege as error:
            self._beyond_reach.add(one.relay)
            self._tell(events.HungBeyondReach(name, one.seconds, first_line(error)))
            return
        assert row is not None
        if row[0]:
            self._tell(events.HungRelayEnded(name, one.seconds, row[0], leases=one.leased))

    def _watch_names(self, now_there: frozenset[int]) -> None:
        now = time.monotonic()
        self._namesakes = {relay: self._namesakes.get(relay, now) for relay in now_there}
        for relay, since in self._namesakes.items():
            if now - since > NAMESAKE_SECONDS:
                self._namesakes[relay] = float("inf")
                self._tell(events.NamesakeFound(self._name))


def _parameters(one: Hung) -> dict[str, list[object]]:
    return {
        "pids": [session.pid for session in one.sessions],
        "started": [session.started for session in one.sessions],
        "changed": [session.changed for session in one.sessions],
        "silent": [session.mark in one.marks for session in one.sessions],
    }
