"""What an operator asks and does about dead messages: look, have them handled again, or give them up for good."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from app_integration.workers.worker import Connection
from relay.errors import ChoiceError

DEAD = """
-- dead_messages
select ce_id, replay, topic, partition, "offset", attempts, error, dead_at
from worker.held
where consumer = %(consumer)s and dead_at is not null and (%(ids)s::text[] is null or ce_id = any(%(ids)s))
order by seq
"""

REPLAY = """
-- replay_dead: due at once, in their order, with all attempts before them
with chosen as (
    select seq from worker.held
    where consumer = %(consumer)s and dead_at is not null and (%(ids)s::text[] is null or ce_id = any(%(ids)s))
    order by seq for update
), due as (
    update worker.held h set dead_at = null, attempts = 0, due_at = clock_timestamp()
    from chosen where h.seq = chosen.seq
    returning h.consumer, h.ce_id, h.replay
)
update worker.inbox i set outcome = 'retrying', handled_at = clock_timestamp()
from due where i.ce_id = due.ce_id and i.consumer = due.consumer and i.replay = due.replay
"""

DISCARD = """
-- discard_dead: the copies go, the inbox keeps who did it and why; a repeat is skipped like that of a handled one
with gone as (
    delete from worker.held
    where consumer = %(consumer)s and dead_at is not null and (%(ids)s::text[] is null or ce_id = any(%(ids)s))
    returning consumer, ce_id, replay, error
)
update worker.inbox i
set outcome = 'discarded', handled_at = clock_timestamp(),
    error = left('discarded by ' || session_user || ': ' || %(why)s || '; it had failed: ' || gone.error, 1000)
from gone where i.ce_id = gone.ce_id and i.consumer = gone.consumer and i.replay = gone.replay
"""


@dataclass(frozen=True, slots=True)
class Dead:
    """A message that is not tried any more."""

    id: str
    replay: int
    topic: str
    partition: int
    offset: int
    attempts: int
    error: str
    since: datetime


def dead(connection: Connection, consumer: str, ids: Sequence[str] | None = None) -> list[Dead]:
    """Tell the dead messages of a consumer, or those of them with these ids.

    Raises:
        ChoiceError: one of the ids is of none; the text names it.
    """
    rows = connection.execute(DEAD, {"consumer": consumer, "ids": None if ids is None else list(ids)}).fetchall()
    found = [Dead(*row) for row in rows]
    if ids is not None and (unknown := set(ids) - {one.id for one in found}):
        raise ChoiceError(
            "\n".join(f"{one} is no dead message of {consumer}; nothing was changed" for one in sorted(unknown))
        )
    return found


def replay(connection: Connection, consumer: str, ids: Sequence[str] | None = None) -> int:
    """Have dead messages handled again; return how many.

    Args:
        connection: a session; all of it is one transaction.
        consumer: whose.
        ids: which; None for all.

    Raises:
        ChoiceError: one of the ids is of none. Nothing was changed.
    """
    with connection.transaction():
        dead(connection, consumer, ids)
        return connection.execute(REPLAY, {"consumer": consumer, "ids": None if ids is None else list(ids)}).rowcount


def discard(connection: Connection, consumer: str, why: str, ids: Sequence[str] | None = None) -> int:
    """Give dead messages up for good; return how many. What is left of one are its inbox row and its dead letter.

    Args:
        connection: a session; all of it is one transaction.
        consumer: whose.
        why: is kept with each, with the role's name.
        ids: which; None for all.

    Raises:
        ChoiceError: one of the ids is of none. Nothing was changed.
    """
    with connection.transaction():
        dead(connection, consumer, ids)
        chosen = {"consumer": consumer, "ids": None if ids is None else list(ids), "why": why}
        return connection.execute(DISCARD, chosen).rowcount
