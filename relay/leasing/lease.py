"""Which shards are ours: session-level advisory locks, shared out fairly among the relays that are alive.

Guarantees: a shard is ours while the session lives and no longer; shards are given up only after their last checkpoint
was committed (unlocking acts at once, even inside a transaction, so the caller commits first). There is no heartbeat
and no clock: who is alive is whoever holds a membership lock, and PostgreSQL drops that with the session.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import psycopg

from relay import __version__, locks

JOIN = """
-- join: and say which version joins
select pg_advisory_lock_shared(%(member)s, 0), pg_advisory_lock_shared(%(version)s, %(number)s), pg_backend_pid(),
       outbox.shard_count()
"""

SURVEY = """
-- survey: members have number 0, leases that of their shard, and sessions that of the lease session of their relay
select classid::bigint as class, objid::bigint as number, pid
from pg_locks
where locktype = 'advisory' and objsubid = 2 and granted
  and database = (select oid from pg_database where datname = current_database())
  and classid::bigint in (%(lease)s, %(member)s, %(loop)s, %(beside)s)
"""

CLASSES = {"lease": locks.LEASE, "member": locks.MEMBER, "loop": locks.LOOP, "beside": locks.BESIDE}

TAKE = """
-- take_leases: those that are free, and show since when (locks.SINCE)
select shard, seconds, pg_advisory_lock_shared(%(since)s + shard, seconds)
from (select extract(epoch from now() - timestamptz '2000-01-01 00:00Z')::int) as taken(seconds),
     unnest(%(shards)s::int[]) as shard
where pg_try_advisory_lock(%(lease)s, shard)
"""

GIVE_UP = """
-- give_up_leases
select pg_advisory_unlock_shared(%(since)s + shard, seconds), pg_advisory_unlock(%(lease)s, shard)
from unnest(%(shards)s::int[], %(seconds)s::int[]) as given(shard, seconds)
"""


@dataclass(frozen=True, slots=True)
class Change:
    """What to do about leases: shards to try for, and shards to give up."""

    take: frozenset[int] = frozenset()
    give_up: frozenset[int] = frozenset()


def fair_share(me: int, members: Collection[int], shards: int) -> int:
    """How many shards a relay may hold: as even as possible, the remainder to those with the lowest process ids.

    The shares of all members add up to `shards`, so that none is left over and none is fought for.
    """
    ranked = sorted(members)
    share, remainder = divmod(shards, len(ranked))
    return share + (ranked.index(me) < remainder)


def decide(me: int, members: Collection[int], holders: Mapping[int, int], shards: int) -> Change:
    """Compare what a relay holds with its fair share.

    Args:
        me: the backend process id of this relay's lease session.
        members: those of all live relays, this one's among them.
        holders: which of them holds each leased shard.
        shards: how many shards there are.
    """
    mine = sorted(shard for shard, holder in holders.items() if holder == me)
    missing = fair_share(me, members, shards) - len(mine)
    if missing < 0:
        return Change(give_up=frozenset(mine[missing:]))
    free: Sequence[int] = [shard for shard in range(shards) if shard not in holders]
    return Change(take=frozenset(free[:missing]))


class Leases:
    """The leases of one relay, on the session that appends its checkpoints.

    Args:
        connection: the lease session.
    """

    def __init__(self, connection: "psycopg.Connection") -> None:
        self._connection = connection
        version = {"version": locks.VERSION, "number": locks.version_number(__version__)}
        joined = connection.execute(JOIN, {"member": locks.MEMBER, **version}).fetchone()
        assert joined is not None
        _, _, self._me, self.shards = joined
        self.held: frozenset[int] = frozenset()
        self._since: dict[int, int] = {}
        """The number by which each shard's `locks.SINCE` is given back."""
        self.others = False
        """Whether there were sessions of any other relay at the last survey."""

    def survey(self) -> Change:
        """Ask who is alive and who holds what, and decide what should change.

        Raises:
            psycopg.OperationalError: the session is lost, and all leases with it.
        """
        found = self._connection.execute(SURVEY, CLASSES).fetchall()
        members = {pid for kind, _, pid in found if kind == locks.MEMBER}
        holders = {shard: pid for kind, shard, pid in found if kind == locks.LEASE}
        self.others = any(relay != self._me for kind, relay, _ in found if kind in (locks.LOOP, locks.BESIDE))
        return decide(self._me, members, holders, self.shards)

    def take(self, shards: Collection[int]) -> frozenset[int]:
        """Try for some shards; return those that are ours now."""
        values = {"lease": locks.LEASE, "since": locks.SINCE, "shards": list(shards)}
        taken = self._connection.execute(TAKE, values).fetchall()
        self._since |= {shard: seconds for shard, seconds, _ in taken}
        gained = frozenset(shard for shard, _, _ in taken)
        self.held |= gained
        return gained

    def give_up(self, shards: Collection[int]) -> None:
        """Unlock some shards. Their last checkpoint must be committed: another relay may take them at once."""
        given = {shard: self._since.pop(shard) for shard in shards}
        values = {"lease": locks.LEASE, "since": locks.SINCE, "shards": list(given), "seconds": list(given.values())}
        self._connection.execute(GIVE_UP, values)
        self.held -= frozenset(shards)
