"""How long each relay has been silent, and which of them hang. Decides from what `pg_stat_activity` says; does no I/O.

While a relay works, the sessions of its loop (`locks.LOOP`) run a statement at least every second between them. A relay
whose process stands still (stopped, swapped out), or whose loop is stuck, sends none: all of them wait for their client
then, each since its `state_change`. A session that is busy is no sign of it: a commit or a read that takes long is
PostgreSQL's to end.

Guarantees: nothing is concluded from what cannot be seen, nor from one look alone: when PostgreSQL itself stood still,
all relays look silent for a moment. A relay that is accused wrongly all the same loses its sessions and begins anew.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from operator import attrgetter

HEALTHY_SECONDS = 5.0
"""A relay that has been silent for longer than that is not well: it has missed several looks at its leases."""

IDLE = frozenset({"idle", "idle in transaction", "idle in transaction (aborted)"})
"""The states of `pg_stat_activity` in which a session waits for its client's next statement."""

Mark = tuple[int, datetime | None]
"""A session as it was last seen: its process id and `state_change`. With another statement it is another mark."""


@dataclass(frozen=True, slots=True)
class Session:
    """A session of a relay, as `pg_stat_activity` shows it; what the role may not see is None."""

    relay: int
    """The process id of that relay's lease session."""
    loop: bool
    """Whether the loop works on it, and not a thread beside it."""
    pid: int
    name: str | None
    """The `application_name`, the same for all sessions of a relay; two relays may share it."""
    started: datetime | None
    """`backend_start`: with the process id, it tells a session from a later one of the same number."""
    changed: datetime | None
    """`state_change`."""
    state: str | None
    waits_for: str | None
    """`wait_event_type`."""
    seconds: float | None
    """Since `changed`, by the clock of the database."""

    @property
    def silent(self) -> float | None:
        """For how many seconds it has waited for its client; 0 while it works, None when that cannot be seen."""
        # Waiting for the client in the middle of a statement: to take a result that is longer than a buffer.
        if self.state in IDLE or (self.state == "active" and self.waits_for == "Client"):
            return None if self.seconds is None else max(0.0, self.seconds)
        return 0.0 if self.state == "active" else None

    @property
    def mark(self) -> Mark:
        """What another look would find unchanged if it has done nothing meanwhile."""
        return self.pid, self.changed


@dataclass(frozen=True, slots=True)
class Hung:
    """A relay that hangs, with the sessions to end; or sessions that hang without a lease session to go by."""

    relay: int
    name: str
    seconds: float
    sessions: tuple[Session, ...]

    @property
    def marks(self) -> frozenset[Mark]:
        """The sessions by whose silence it was found."""
        return frozenset(session.mark for session in self.sessions if session.loop or not self.leased)

    @property
    def leased(self) -> bool:
        """Whether its lease session is among them, and with it the leases."""
        return has_lease_session(self.sessions)


def by_relay(sessions: Iterable[Session]) -> dict[int, list[Session]]:
    """Group sessions by the relay that they belong to."""
    ordered = sorted(sessions, key=attrgetter("relay", "pid"))
    return {relay: list(group) for relay, group in groupby(ordered, attrgetter("relay"))}


def has_lease_session(sessions: Iterable[Session]) -> bool:
    """Whether the lease session is among those of one relay."""
    return any(session.loop and session.pid == session.relay for session in sessions)


def silence(sessions: Iterable[Session]) -> float | None:
    """For how many seconds a relay has been silent.

    Args:
        sessions: its sessions; only those of the loop count.

    Returns:
        0 while any of them works, else since the last of them did; None when that cannot be seen.
    """
    found = [session.silent for session in sessions if session.loop]
    known = [seconds for seconds in found if seconds is not None]
    return min(known) if known and len(known) == len(found) else None


def hung(sessions: Iterable[Session], me: int, limit: float) -> list[Hung]:
    """Find the relays that hang.

    Args:
        sessions: those of all relays of the database.
        me: the process id of this relay's lease session; it never accuses itself.
        limit: the seconds of silence that a relay is granted.
    """
    found = []
    for relay, own in by_relay(sessions).items():
        if relay == me:
            continue
        if has_lease_session(own):
            seconds, ended = silence(own), own
        else:
            # It is gone, and a relay that works drops the others at once; or there never was any, as for a session that
            # prunes: it runs one statement after another, and the locks that it holds are in everybody's way.
            ended = [session for session in own if (session.silent or 0.0) > limit]
            seconds = min((session.silent or 0.0 for session in ended), default=None)
        if seconds is not None and seconds > limit:
            found.append(Hung(relay, ended[0].name or "", seconds, tuple(ended)))
    return found


def confirmed(found: Iterable[Hung], before: Collection[Mark]) -> list[Hung]:
    """Keep those that were found at the look before, too, and have not stirred since.

    Args:
        found: the relays that seem to hang now.
        before: the marks of those that seemed to hang at the look before.
    """
    return [one for one in found if one.marks <= set(before)]


def namesakes(sessions: Iterable[Session], me: int) -> frozenset[int]:
    """The other relays that carry this one's name, each by the process id of its lease session."""
    leases = {session.pid: session.name for session in sessions if session.loop and session.pid == session.relay}
    return frozenset(pid for pid, name in leases.items() if pid != me and name is not None and name == leases.get(me))
