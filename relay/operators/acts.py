"""What operators do to topics and to what messages said, and what they did. The SQL functions act; this asks them.

Guarantees: an act is recorded in the transaction that does it, with who and why.
"""

import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import psycopg

from relay import locks
from relay.configuration.kafka_properties import nearest
from relay.errors import ChoiceError
from relay.operators.choice import Choice
from relay.operators.operating import NOW
from relay.printable import quoted

PAUSE = """
-- pause
select outbox.pause(%(topic)s, %(why)s, true)
"""

RESUME = """
-- resume
select outbox.resume(%(topic)s, %(why)s)
"""

LIMIT = """
-- limit
select outbox.limit(%(topic)s, %(rate)s, %(why)s, true)
"""

KNOWN = """
-- known_topics
select topic from outbox.known_topics() as known(topic) order by topic
"""

NEWEST_ACT = """
-- newest_act: on topics; relays say up to which they obey
select coalesce(max(act), 0) from outbox.topic_rule
"""

NOT_OBEYING = """
-- not_obeying
select relay from outbox.not_obeying(%(act)s) order by relay
"""

READ_RULES = """
-- read_rules
select topic, paused_at, rate from outbox.topic_rule where paused_at is not null or rate is not null order by topic
"""

ERASE = """
-- erase
select act, messages from outbox.erase(%(why)s, %(ids)s::uuid[], %(topic)s, %(key)s, %(dry_run)s)
"""

READ_LOG = """
-- read_log: the newest first
select a.id, a.at, a.who, a.client, a.act, a.why, a.choice, a.messages
from outbox.operator_act a
where (%(before_act)s::bigint is null or a.id < %(before_act)s)
  and (%(who)s::text is null or strpos(lower(a.who || ' ' || a.client), lower(%(who)s)) > 0)
  and (%(act)s::text is null or a.act = %(act)s)
  and (%(topic)s::text is null or a.choice ->> 'topic' = %(topic)s)
  and (%(after)s::timestamptz is null or a.at >= %(after)s) and (%(before)s::timestamptz is null or a.at < %(before)s)
  and (%(id)s::uuid is null or a.choice -> 'ids' ? %(id)s::uuid::text)
order by a.id desc limit %(limit)s
"""


@dataclass(frozen=True, slots=True)
class Logged:
    """One act of an operator."""

    number: int
    at: datetime
    who: str
    client: str
    act: str
    why: str
    choice: Mapping[str, Any]
    messages: int


@dataclass(frozen=True, slots=True)
class Rule:
    """What is said of a topic."""

    topic: str
    paused_at: datetime | None
    rate: float | None


def rules(connection: "psycopg.Connection") -> list[Rule]:
    """Read which topics are paused or limited."""
    return [Rule(*row) for row in connection.execute(READ_RULES).fetchall()]


def known(connection: "psycopg.Connection") -> list[str]:
    """Topics of which this outbox has something."""
    return [topic for (topic,) in connection.execute(KNOWN).fetchall()]


def pause(connection: "psycopg.Connection", topic: str, why: str) -> int | None:
    """Pause a topic; return the number of the act, None where it is paused already."""
    return _number(connection, PAUSE, {"topic": topic, "why": why})


def resume(connection: "psycopg.Connection", topic: str, why: str) -> int | None:
    """Resume a topic; return the number of the act, None where it is not paused."""
    return _number(connection, RESUME, {"topic": topic, "why": why})


def limit(connection: "psycopg.Connection", topic: str, rate: float | None, why: str) -> int | None:
    """Limit a topic; return the number of the act, None where that is its limit already.

    Args:
        connection: an operator's session.
        topic: which.
        rate: messages a second of all relays together; None takes the limit away.
        why: the reason.
    """
    return _number(connection, LIMIT, {"topic": topic, "rate": rate, "why": why})


def await_obedience(connection: "psycopg.Connection", seconds: float) -> list[str]:
    """Wait until every live relay obeys what is said of topics; return the names of those that do not in time."""
    ((act,),) = connection.execute(NEWEST_ACT).fetchall()
    deadline = time.monotonic() + seconds
    while True:
        missing = [name for (name,) in connection.execute(NOT_OBEYING, {"act": act}).fetchall()]
        if not missing or time.monotonic() >= deadline:
            return [name.removeprefix(locks.application_name("")) for name in missing]
        time.sleep(0.1)


def erase(connection: "psycopg.Connection", choice: Choice, why: str, *, dry_run: bool) -> tuple[int | None, int]:
    """Erase what messages said; return the number of the act, None where there was nothing, and how many there were."""
    values = {"why": why, "ids": list(choice.ids) or None, "topic": choice.topic, "key": choice.key, "dry_run": dry_run}
    ((number, messages),) = connection.execute(ERASE, values).fetchall()
    return number, messages


def log(
    connection: "psycopg.Connection", choice: Choice, *, who: str | None, act: str | None, page: tuple[int | None, int]
) -> list[Logged]:
    """Read what operators did, the newest first.

    Args:
        connection: an operator's session.
        choice: its topic, times, and a single id.
        who: a part of the role, or of what the client says of itself.
        act: its kind.
        page: below which number, and how many.
    """
    ((now,),) = connection.execute(NOW).fetchall()
    at = choice.at(now)
    values = {
        **at.parameters(),
        "id": at.ids[0] if at.ids else None,
        "who": who,
        "act": act,
        "before_act": page[0],
        "limit": page[1],
    }
    return [Logged(*row) for row in connection.execute(READ_LOG, values).fetchall()]


def demand_known(topic: str, known_topics: Collection[str]) -> None:
    """Go on only with a topic of which something is known.

    Raises:
        ChoiceError: it names the nearest.
    """
    if topic not in known_topics:
        near = nearest(topic, known_topics)
        listed = ", ".join(sorted(known_topics)[:20]) or "none"
        raise ChoiceError(
            f"nothing is known of a topic {quoted(topic)}{near}; known are: {listed}. Nothing was changed; for one of "
            "which nothing was enqueued lately, say --unknown"
        )


def _number(connection: "psycopg.Connection", statement: str, values: Mapping[str, Any]) -> int | None:
    ((number,),) = connection.execute(statement.encode(), values).fetchall()
    return None if number is None else int(number)


def prefix(text: str) -> tuple[UUID, UUID]:
    """The lowest and the highest id that begin with some text.

    Raises:
        ChoiceError: no id does.
    """
    digits = text.strip().lower().replace("-", "")
    if not 4 <= len(digits) <= 32 or any(one not in "0123456789abcdef" for one in digits):  # noqa: PLR2004
        raise ChoiceError(f"{quoted(text)} is not the id of a message; allowed: a UUID, or its first 4 digits or more")
    return UUID(digits.ljust(32, "0")), UUID(digits.ljust(32, "f"))
