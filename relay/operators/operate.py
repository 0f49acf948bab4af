"""The operator's two answers to what is held: replay and discard. The SQL functions act; this asks them.

Guarantees: what is done is what was shown. A message that is set aside after it was shown is not in it; one that was
settled meanwhile is not counted. All of it is done, in one transaction, or nothing.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from typing import Any

import psycopg

from relay.operators.choice import Choice
from relay.operators.operating import NOW

STEP = "01OUT"
"""The SQLSTATE of the notices that tell how far an act is; each begins with the number of messages."""

CHOSEN = """
-- chosen: what a choice takes, by topic and state
select topic, state, count(*)
from outbox.chosen(%(act)s, row(%(ids)s::uuid[], %(topic)s, %(key)s, %(error)s, %(state)s, %(after)s, %(before)s,
                                %(everything)s, %(sent)s, %(force)s)::outbox.choice)
group by topic, state order by count(*) desc, topic, state
"""

REPLAY = """
-- replay
select act, messages
from outbox.replay(%(why)s, %(ids)s::uuid[], %(topic)s, %(key)s, %(error)s, %(state)s, %(after)s, %(before)s,
                   %(everything)s, %(sent)s, %(dry_run)s, %(force)s)
"""

DISCARD = """
-- discard
select act, messages
from outbox.discard(%(why)s, %(ids)s::uuid[], %(topic)s, %(key)s, %(error)s, %(state)s, %(after)s, %(before)s,
                    %(everything)s, %(dry_run)s)
"""


class Act(StrEnum):
    """What an operator can do."""

    REPLAY = "replay"
    DISCARD = "discard"


@dataclass(frozen=True, slots=True)
class Part:
    """Some of the messages that are chosen."""

    topic: str
    state: str
    messages: int


@dataclass(frozen=True, slots=True)
class Plan:
    """An act that was not done yet."""

    act: Act
    choice: Choice
    """As the operator named it, with times for ages."""
    bound: Choice
    """The same, without what came after this was looked up."""
    parts: Sequence[Part]

    @property
    def messages(self) -> int:
        """How many are chosen."""
        return sum(part.messages for part in self.parts)

    def as_json(self) -> dict[str, Any]:
        """Return what is chosen as JSON values."""
        return {"act": self.act.value, "messages": self.messages, "parts": [asdict(part) for part in self.parts]}


@dataclass(frozen=True, slots=True)
class Done:
    """An act that was done; `number` is under which it is recorded, None when there was nothing to do."""

    number: int | None
    messages: int


def plan(connection: "psycopg.Connection", act: Act, choice: Choice) -> Plan:
    """Look up what a choice takes now.

    Raises:
        ChoiceError: no time lies between its times.
        psycopg.errors.ObjectNotInPrerequisiteState: something that is named by its id cannot be acted on.
    """
    ((now,),) = connection.execute(NOW).fetchall()
    choice = choice.at(now)
    bound = choice if choice.ids or choice.before is not None else replace(choice, before=now)
    if choice.ids:
        # It says of each id why it cannot be; a look at what is chosen would only find it missing.
        _call(connection, act, bound, why="", dry_run=True)
    found = connection.execute(CHOSEN, {**bound.parameters(), "act": act.value}).fetchall()
    return Plan(act, choice, bound, [Part(*row) for row in found])


def carry_out(connection: "psycopg.Connection", plan: Plan, why: str, progress: Callable[[int], None]) -> Done:
    """Do what was planned, and record it.

    Args:
        connection: a session in autocommit: the act is a transaction of its own.
        plan: what to do.
        why: the reason, as it is recorded.
        progress: called with how many more messages were done, every few thousand.
    """
    told = 0

    def listen(notice: "psycopg.errors.Diagnostic") -> None:
        nonlocal told
        if notice.sqlstate == STEP:
            count = int((notice.message_primary or "0").split()[0])
            progress(count - told)
            told = count

    connection.add_notice_handler(listen)
    try:
        done = _call(connection, plan.act, plan.bound, why=why, dry_run=False)
    finally:
        connection.remove_notice_handler(listen)
    progress(done.messages - told)
    return done


def _call(connection: "psycopg.Connection", act: Act, choice: Choice, **values: Any) -> Done:
    statement = REPLAY if act is Act.REPLAY else DISCARD
    ((number, messages),) = connection.execute(statement, {**choice.parameters(), **values}).fetchall()
    return Done(number, messages)
