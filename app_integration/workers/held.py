"""Held messages: those that could not be handled when their turn came, each a whole copy, until handled or dead.

The caller has the transaction. Guarantees: `claim` gives a message to one worker at a time, and of an ordered
worker's key the oldest first; nothing releases a message that waits: it is next when those before it are gone or
dead.
"""

import json
from base64 import b64decode, b64encode
from collections.abc import Sequence
from dataclasses import dataclass

from app_integration.workers.received import Received
from app_integration.workers.verdict import Failed
from app_integration.workers.worker import Connection, Worker

ADD = """
-- hold_message: due_at is when it is tried; one that only waits is due as soon as it is its key's oldest
insert into worker.held (consumer, ce_id, replay, topic, partition, "offset", key, value, headers,
                         "timestamp", ordered, attempts, error, due_at, dead_at)
values (%(consumer)s, %(ce_id)s, %(replay)s, %(topic)s, %(partition)s, %(offset)s, %(key)s, %(value)s,
        %(headers)s::json, %(timestamp)s, %(ordered)s, %(attempts)s, %(error)s,
        clock_timestamp() + make_interval(secs => %(seconds)s), case when %(dead)s then clock_timestamp() end)
"""

WAITED_FOR = """
-- keys_waited_for: those among some keys of which a message is being retried
select distinct h.topic, h.key
from unnest(%(topics)s::text[], %(keys)s::bytea[]) as m(topic, key)
join worker.held h on h.consumer = %(consumer)s and h.topic = m.topic and md5(h.key) = md5(m.key) and h.key = m.key
where h.dead_at is null and h.ordered
"""

CLAIM = """
-- claim_due: the lock lasts as long as the transaction, and others pass over it
select h.seq, h.topic, h.partition, h."offset", h.key, h.value, h.headers::text, h."timestamp", h.attempts
from worker.held h
where h.consumer = %(consumer)s and h.dead_at is null and h.due_at <= clock_timestamp()
  and not (h.ordered and h.key is not null and exists (
      select from worker.held b
      where b.consumer = h.consumer and b.topic = h.topic and md5(b.key) = md5(h.key) and b.key = h.key
        and b.dead_at is null and b.ordered and b.seq < h.seq))
order by h.due_at, h.seq
limit 1
for update skip locked
"""

CLAIM_AGAIN = """
-- claim_again: one that this worker had claimed, unless another has it now, or has had it
select from worker.held where seq = %(seq)s and attempts = %(attempts)s and dead_at is null for update skip locked
"""

POSTPONE = """
-- postpone_or_bury
update worker.held
set attempts = %(attempts)s, error = %(error)s, due_at = clock_timestamp() + make_interval(secs => %(seconds)s),
    dead_at = case when %(dead)s then clock_timestamp() end
where seq = %(seq)s
"""

REMOVE = """
-- remove_handled
delete from worker.held where seq = %(seq)s
"""

COUNT = """
-- count_held
select count(*) filter (where dead_at is null), count(*) filter (where dead_at is not null)
from worker.held where consumer = %(consumer)s
"""


@dataclass(frozen=True, slots=True)
class Held:
    """A message that was held, with its row and how often it failed."""

    seq: int
    message: Received
    attempts: int


def add(connection: Connection, worker: Worker, message: Received, failed: Failed | None) -> None:
    """Hold a message: one that failed, or, with None, one that waits behind one that did."""
    connection.execute(
        ADD,
        {
            "consumer": worker.name,
            "ce_id": message.id,
            "replay": message.replay,
            "topic": message.topic,
            "partition": message.partition,
            "offset": message.offset,
            "key": message.key,
            "value": message.value,
            "headers": _as_json(message.headers),
            "timestamp": message.timestamp,
            "ordered": worker.ordered,
            **_fate(failed),
        },
    )


def postpone(connection: Connection, held: Held, failed: Failed) -> None:
    """Note that it failed once more: it is tried again later, or dead."""
    done = connection.execute(POSTPONE, {"seq": held.seq, **_fate(failed)})
    assert done.rowcount == 1


def remove(connection: Connection, held: Held) -> None:
    """Hold a message no more: it was handled."""
    assert connection.execute(REMOVE, {"seq": held.seq}).rowcount == 1


def waited_for(connection: Connection, consumer: str, messages: Sequence[Received]) -> set[tuple[str, bytes]]:
    """Tell which topics and keys of these messages have one that is being retried."""
    keyed = [message for message in messages if message.key is not None]
    topics, keys = [message.topic for message in keyed], [message.key for message in keyed]
    rows = connection.execute(WAITED_FOR, {"consumer": consumer, "topics": topics, "keys": keys}).fetchall()
    return {(topic, bytes(key)) for topic, key in rows}


def claim(connection: Connection, consumer: str) -> Held | None:
    """Take the next message that is due, for as long as the transaction lasts."""
    row = connection.execute(CLAIM, {"consumer": consumer}).fetchone()
    if row is None:
        return None
    seq, topic, partition, offset, key, value, headers, timestamp, attempts = row
    return Held(seq, Received(topic, partition, offset, key, value, _from_json(headers), timestamp), attempts)


def claim_again(connection: Connection, held: Held) -> bool:
    """Take a message whose claim ended with its session; tell whether nobody else has, or has had it since."""
    return connection.execute(CLAIM_AGAIN, {"seq": held.seq, "attempts": held.attempts}).fetchone() is not None


def count(connection: Connection, consumer: str) -> tuple[int, int]:
    """Count what is being retried, with what waits behind it; and what is dead."""
    row = connection.execute(COUNT, {"consumer": consumer}).fetchone()
    return (row[0], row[1]) if row else (0, 0)


def _fate(failed: Failed | None) -> dict[str, object]:
    if failed is None:
        return {"attempts": 0, "error": None, "seconds": 0.0, "dead": False}
    dead = failed.seconds is None
    return {"attempts": failed.attempts, "error": failed.error, "seconds": failed.seconds or 0.0, "dead": dead}


def _as_json(headers: Sequence[tuple[str, bytes | None]]) -> str:
    # In ASCII: a name may hold what PostgreSQL's text cannot, and `json` keeps an escape as it stands.
    return json.dumps([[name, None if value is None else b64encode(value).decode()] for name, value in headers])


def _from_json(text: str) -> list[tuple[str, bytes | None]]:
    return [(name, None if value is None else b64decode(value)) for name, value in json.loads(text)]
