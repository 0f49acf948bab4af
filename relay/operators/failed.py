"""What has failed, for who was woken by it: how much of what, since when, why, and what waits behind it. Reads only."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import psycopg

from relay.operators.choice import Choice
from relay.operators.operating import NOW

READ_STATES = """
-- read_states: how much is held in each state
select state, count(*) from outbox.held_state where settled_as is null group by state order by count(*) desc, state
"""

READ_GROUPS = """
-- read_groups: what is chosen, by state, topic and error; the most first
with chosen as materialized (
    select shard, seq, state
    from outbox.chosen('discard', row(%(ids)s::uuid[], %(topic)s, %(key)s, %(error)s, %(state)s, %(after)s, %(before)s,
                                      %(everything)s, %(sent)s, %(force)s)::outbox.choice)
)
select c.state, h.topic, h.code, count(*), min(h.held_at), max(h.failed_at), min(h.error)
from chosen c
join outbox.held_state h on h.shard = c.shard and h.seq = c.seq
group by c.state, h.topic, h.code
order by count(*) desc, h.topic, c.state, h.code
"""

READ_MESSAGES = """
-- read_messages: what is chosen, those that are held longest first, each with how many wait for it
with listed as materialized (
    select h.id, h.topic, h.key, h.type, h.state, h.attempts, h.held_at, h.failed_at, h.due_at, h.code, h.error,
           h.scope, h.seq
    from outbox.chosen('discard', row(%(ids)s::uuid[], %(topic)s, %(key)s, %(error)s, %(state)s, %(after)s, %(before)s,
                                      %(everything)s, %(sent)s, %(force)s)::outbox.choice) as c
    join outbox.held_state h on h.shard = c.shard and h.seq = c.seq
    order by h.held_at, h.seq
    limit %(limit)s
)
select l.id, l.topic, l.key, l.type, l.state, l.attempts, l.held_at, l.failed_at,
       case when isfinite(l.due_at) then l.due_at end, l.code, l.error, waiting.messages
from listed l
cross join lateral (
    select count(*) from outbox.held_state w
    where w.settled_as is null and w.failed_at is null and w.scope <> 'none' and w.topic = l.topic and w.seq > l.seq
      and l.failed_at is not null and (l.scope = 'topic' or l.scope = 'key' and w.key = l.key)
) as waiting(messages)
order by l.held_at, l.seq
"""


@dataclass(frozen=True, slots=True)
class Group:
    """Messages of one topic in one state, with the same code of their errors; `error` is the text of one of them."""

    state: str
    topic: str
    code: str | None
    messages: int
    held_since: datetime
    failed_at: datetime | None
    error: str | None


@dataclass(frozen=True, slots=True)
class HeldMessage:
    """One message that is held.

    `attempts` counts failures of its own; `next_at` is when it is tried next, None for a dead one, and for one that
    only waits; `waiting` is how many wait behind it.
    """

    id: UUID
    topic: str
    key: str | None
    type: str | None
    state: str
    attempts: int
    held_since: datetime
    failed_at: datetime | None
    next_at: datetime | None
    code: str | None
    error: str | None
    waiting: int


@dataclass(frozen=True, slots=True)
class Failed:
    """What was found at a moment: how much is held in each state; of what was asked for, groups and some messages."""

    at: datetime
    held: Mapping[str, int]
    groups: Sequence[Group]
    messages: Sequence[HeldMessage]

    @property
    def count(self) -> int:
        """How many messages were found."""
        return sum(group.messages for group in self.groups)

    def as_json(self) -> dict[str, Any]:
        """Return the same by name."""
        return {
            "held": dict(self.held),
            "count": self.count,
            "groups": self.groups,
            "messages": self.messages,
        }


def read(connection: "psycopg.Connection", choice: Choice, *, limit: int) -> Failed:
    """Read what has failed.

    Args:
        connection: an operator's session.
        choice: of which.
        limit: how many messages to list; groups count all.

    Raises:
        ChoiceError: no time lies between the choice's times.
    """
    ((now,),) = connection.execute(NOW).fetchall()
    values = choice.at(now).parameters()
    return Failed(
        now,
        dict(connection.execute(READ_STATES).fetchall()),
        [Group(*row) for row in connection.execute(READ_GROUPS, values).fetchall()],
        [HeldMessage(*row) for row in connection.execute(READ_MESSAGES, {**values, "limit": limit}).fetchall()]
        if limit
        else [],
    )
