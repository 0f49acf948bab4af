"""Deliveries as the deliverer deals with them: which queue is due, what is next in it, what came of it.

Each call is one statement, committed by itself, so that one session serves all queues. Guarantees: a queue is claimed
by one deliverer at a time; one that is killed gives it up at once, with its session, one that hangs within a minute; a
delivery whose result is not recorded is made again.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from app_integration.workers.integrations.fate import Answer, Fate

if TYPE_CHECKING:
    import psycopg

Session: TypeAlias = "psycopg.AsyncConnection[Any]"

CLAIM = """
-- claim_queues: those that have rested longest first; by a lock that leaves foreign keys alone, for events are added
with due as (
    select e.id from worker.endpoint e
    where e.disabled_at is null and e.due_at <= clock_timestamp()
      -- Who was killed has no session any more; one that hangs has, and its claim runs out.
      and (e.claimed_until <= clock_timestamp()
           or not exists (select from pg_stat_activity a where a.pid = e.claimed_by))
      and exists (select from worker.delivery d
                  where d.endpoint = e.id and d.delivered_at is null and d.dead_at is null
                    and d.due_at <= clock_timestamp())
    order by e.due_at limit %(most)s
    for no key update skip locked
)
update worker.endpoint e
set claimed_until = clock_timestamp() + interval '60 seconds', claimed_by = pg_backend_pid()
from due where e.id = due.id
returning e.id
"""

NEXT = """
-- next_delivery: of a queue that is claimed and not disabled since
select d.seq, d.ce_id, d.body, d.attempts, e.url,
       e.secret || array(select r.secret from worker.retired_secret r
                         where r.endpoint = e.id and r.until > clock_timestamp() order by r.until desc),
       e.allow_private, e.failures,
       coalesce(extract(epoch from clock_timestamp() - e.failing_since), 0)::float8
from worker.delivery d join worker.endpoint e on e.id = d.endpoint
where d.endpoint = %(endpoint)s and e.disabled_at is null and e.due_at <= clock_timestamp()
  and d.delivered_at is null and d.dead_at is null and d.due_at <= clock_timestamp()
order by d.due_at, d.seq limit 1
"""

TAKEN = """
-- record_taken
with endpoint as (
    update worker.endpoint
    set failures = 0, failing_since = null, claimed_until = clock_timestamp() + interval '60 seconds'
    where id = %(endpoint)s
)
update worker.delivery
set delivered_at = clock_timestamp(), attempts = attempts + 1, status = %(status)s, error = null
where seq = %(seq)s
"""

FAILED = """
-- record_failed: an endpoint that an operator disabled meanwhile keeps the operator's reason
with endpoint as (
    update worker.endpoint
    set failures = failures + 1, failing_since = coalesce(failing_since, clock_timestamp()),
        due_at = clock_timestamp() + make_interval(secs => %(rest)s),
        disabled_why = case when disabled_at is null then %(disable)s else disabled_why end,
        disabled_at = case when %(disable)s::text is null then disabled_at
                           else coalesce(disabled_at, clock_timestamp()) end,
        claimed_until = clock_timestamp() + interval '60 seconds'
    where id = %(endpoint)s
)
update worker.delivery
set attempts = attempts + 1, status = %(status)s, error = %(error)s,
    due_at = clock_timestamp() + make_interval(secs => %(seconds)s),
    dead_at = case when %(dead)s then clock_timestamp() end
where seq = %(seq)s
"""

RELEASE = """
-- release_queue: to the end of the line; not where we hung and another has it now
update worker.endpoint set claimed_until = '-infinity', claimed_by = null, due_at = greatest(due_at, clock_timestamp())
where id = %(endpoint)s and claimed_by = pg_backend_pid()
"""

PRUNE = """
-- prune_deliveries: also what was kept for an endpoint that stayed disabled for so long
delete from worker.delivery
where ctid in (select ctid from worker.delivery
               where created_at < clock_timestamp() - make_interval(secs => %(retention)s) limit 5000)
"""

PRUNE_SECRETS = """
-- prune_retired_secrets
delete from worker.retired_secret where until < clock_timestamp()
"""


@dataclass(frozen=True, slots=True)
class Due:
    """A delivery that is to be made now, with what is known of its endpoint."""

    seq: int
    id: str
    body: bytes
    attempts: int
    url: str
    secrets: list[str]
    """The endpoint's, the newest first."""
    allow_private: bool
    failures: int
    failing_for: float


async def claim(session: Session, most: int) -> list[int]:
    """Claim queues in which something is due; return their endpoints."""
    cursor = await session.execute(CLAIM, {"most": most})
    return [row[0] for row in await cursor.fetchall()]


async def next_due(session: Session, endpoint: int) -> Due | None:
    """Give the next delivery of a claimed queue; None when nothing is due in it, or it rests."""
    row = await (await session.execute(NEXT, {"endpoint": endpoint})).fetchone()
    return None if row is None else Due(*row)


async def record(session: Session, endpoint: int, due: Due, answer: Answer, fate: Fate) -> None:
    """Record what came of an attempt."""
    values: dict[str, Any] = {"endpoint": endpoint, "seq": due.seq, "status": answer.status}
    if answer.taken:
        await session.execute(TAKEN, values)
        return
    values |= {"error": answer.error, "rest": fate.rest, "disable": fate.disable}
    await session.execute(FAILED, {**values, "seconds": fate.seconds or 0.0, "dead": fate.dead})


async def release(session: Session, endpoint: int) -> None:
    """Give a queue up."""
    await session.execute(RELEASE, {"endpoint": endpoint})


async def prune(session: Session, retention: float) -> int:
    """Delete secrets whose time is over, and deliveries older than `retention` seconds; return how many of these."""
    await session.execute(PRUNE_SECRETS)
    return (await session.execute(PRUNE, {"retention": retention})).rowcount
