"""The inbox: which consumer has done what with which message. SQL and calls; the caller has the transaction.

Guarantees: `enter` lets a message in once for each consumer, whoever asks at the same time: the second waits until
the first has committed, and is told that it was there, or has rolled back, and is let in.
"""

from collections.abc import Iterable, Sequence
from typing import Any

from app_integration.workers.received import Received
from app_integration.workers.worker import Connection

ENTER = """
-- enter_inbox: in the order of the key, so that two who enter the same messages do not wait for each other
insert into worker.inbox (ce_id, consumer, replay, topic, partition, "offset", outcome)
select ce_id, %(consumer)s, replay, topic, partition, "offset", 'handled'
from unnest(%(ids)s::text[], %(replays)s::bigint[], %(topics)s::text[], %(partitions)s::int[], %(offsets)s::bigint[])
     with ordinality as m(ce_id, replay, topic, partition, "offset", place)
order by ce_id, replay, place
on conflict (ce_id, consumer, replay) do nothing
returning topic, partition, "offset"
"""

NOTE = """
-- note_outcome
update worker.inbox
set outcome = %(outcome)s, attempts = %(attempts)s, error = %(error)s, handled_at = clock_timestamp()
where ce_id = %(ce_id)s and consumer = %(consumer)s and replay = %(replay)s
"""

PRUNE = """
-- prune_inbox: what is held is still needed; a message that comes again after this is handled again
delete from worker.inbox
where ctid in (
    select i.ctid from worker.inbox i
    where i.handled_at < clock_timestamp() - make_interval(secs => %(retention)s)
      and not exists (select from worker.held h
                      where h.consumer = i.consumer and h.ce_id = i.ce_id and h.replay = i.replay)
    limit %(most)s)
"""


def enter(connection: Connection, consumer: str, messages: Sequence[Received]) -> list[Received]:
    """Enter messages as handled; return those that were not there, in their order.

    Args:
        connection: with a transaction open, in which the effects follow.
        consumer: whose inbox.
        messages: of which one may stand there twice.
    """
    rows = connection.execute(
        ENTER,
        {
            "consumer": consumer,
            "ids": [message.id for message in messages],
            "replays": [message.replay for message in messages],
            "topics": [message.topic for message in messages],
            "partitions": [message.partition for message in messages],
            "offsets": [message.offset for message in messages],
        },
    ).fetchall()
    entered = {tuple(row) for row in rows}
    return [message for message in messages if (message.topic, message.partition, message.offset) in entered]


def note(  # noqa: PLR0917 - as the columns
    connection: Connection, consumer: str, message: Received, outcome: str, attempts: int, error: str | None
) -> None:
    """Note what became of a message that was entered."""
    done = connection.execute(
        NOTE, {**_key(consumer, message), "outcome": outcome, "attempts": attempts, "error": error}
    )
    assert done.rowcount == 1, f"{message.id} is not in the inbox of {consumer}"


def prune(connection: Connection, retention: float, most: int) -> int:
    """Delete rows that are older than `retention` seconds, at most so many; return how many."""
    return connection.execute(PRUNE, {"retention": retention, "most": most}).rowcount


def _key(consumer: str, message: Received) -> dict[str, Any]:
    return {"consumer": consumer, "ce_id": message.id, "replay": message.replay}


WAY = """
-- way_of_messages: what each worker has done with these, for whoever shows a message's way
select ce_id, consumer, replay, topic, partition, "offset", outcome, attempts, error, handled_at
from worker.inbox where ce_id = any(%(ids)s) order by handled_at
"""


def ways(connection: Connection, ids: Iterable[str]) -> list[tuple[Any, ...]]:
    """Tell what each worker has done with messages, in the columns of `WAY`."""
    return connection.execute(WAY, {"ids": list(ids)}).fetchall()
