"""Who could do harm: roles that hold more than one of the three, and sessions with locks that are only a relay's.

An advisory lock may be taken by any role that may connect. Who takes those of the relays keeps shards from being
published, or makes a relay that hangs look alive; it can neither read nor lose a message.
"""

from collections.abc import Iterator

import psycopg

from relay import locks
from relay.watching.findings import Finding, Level

READ_SQUATTERS = """
-- read_squatters: who has locks of the relays and could not relay
select coalesce(a.usename::text, 'nobody'), coalesce(l.pid, 0),
       case l.classid::bigint
           when %(lease)s then 'lease' when %(doorbell)s then 'doorbell' when %(member)s then 'member'
           when %(prune)s then 'prune' when %(revision)s then 'revision' when %(loop)s then 'tie'
           when %(beside)s then 'tie' else 'sign' end as kind,
       string_agg(distinct l.objid::text, ', ')
from pg_locks l left join pg_stat_activity a using (pid)
where l.locktype = 'advisory' and l.objsubid = 2 and l.granted
  and l.database = (select oid from pg_database where datname = current_database())
  and (l.classid::bigint in (%(lease)s, %(doorbell)s, %(member)s, %(prune)s, %(revision)s, %(loop)s, %(beside)s,
                             %(obeyed)s, %(version)s)
       or l.classid::bigint between %(since)s and %(since)s + 255)
  -- what every insert tries
  and not (l.classid::bigint = %(doorbell)s and l.mode = 'ShareLock')
  and (a.usesysid is null or not has_table_privilege(a.usesysid, 'outbox.checkpoint', 'insert'))
group by 1, 2, 3
order by 1, 2, 3
"""

READ_MIXED = """
-- read_mixed: roles without all power that have the rights of more than one of the three
select r.rolname::text, string_agg(three.rolname::text, ' and ' order by three.rolname)
from pg_roles r
join pg_roles three on three.rolname in ('outbox_application', 'outbox_relay', 'outbox_operator')
    and pg_has_role(r.oid, three.oid, 'member')
join pg_class message on message.oid = 'outbox.message'::regclass
where not r.rolsuper and not pg_has_role(r.oid, message.relowner, 'member')
group by r.rolname having count(*) > 1
order by 1
"""

CLASSES = {
    "lease": locks.LEASE,
    "doorbell": locks.DOORBELL,
    "member": locks.MEMBER,
    "prune": locks.PRUNE,
    "revision": locks.REVISION,
    "loop": locks.LOOP,
    "beside": locks.BESIDE,
    "obeyed": locks.OBEYED,
    "version": locks.VERSION,
    "since": locks.SINCE,
}


def examine_roles(connection: "psycopg.Connection") -> Iterator[Finding]:
    """Look for both."""
    squatters = connection.execute(READ_SQUATTERS, CLASSES).fetchall()
    found = "; ".join(f"{role} (pid {pid}) holds {kind} {numbers}" for role, pid, kind, numbers in squatters)
    if squatters:
        mend = (
            "only relays have use for these locks: end those sessions (select pg_terminate_backend(pid)), and take the "
            "right to connect from a role that does it again; see docs/security.md"
        )
        yield Finding("locks", Level.PROBLEM, f"locks of the relays are held by others: {found}", mend)
    else:
        yield Finding("locks", Level.OK, "the relays' locks are held by relays alone")
    mixed = connection.execute(READ_MIXED).fetchall()
    if mixed:
        found = "; ".join(f"{role} is a member of {roles}" for role, roles in mixed)
        yield Finding("roles", Level.WARNING, found, "give each login one of them: who steals it can do the least")
    else:
        yield Finding("roles", Level.OK, "no login has the rights of two of the three roles")
