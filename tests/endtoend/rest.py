"""When all has come to rest: nothing is left to do for anybody, by the system's own account and the listeners'."""

import time
from collections.abc import Mapping

import psycopg

from tests.endtoend.plan import DATABASE
from tests.endtoend.stage import CONSUMERS, Stage
from tests.endtoend.talkers import ROOM, Talking

REST_SECONDS = 300.0
"""In which all must have come to rest: a mail whose answer was lost is tried again after half a minute."""

LEFT = """
-- left: what is still to be done, by whom
select 'purchases', count(*) from edu_matrix.purchases where state = 'pending'
union all
select 'relays', count(*) from outbox.message_state where state <> 'sent'
union all
select 'worker ' || c.consumer, count(*)
from unnest(%s::text[], %s::text[]) as c(consumer, topic) join outbox.message m on m.topic = c.topic
where not exists (select from worker.inbox i
                  where i.ce_id = m.id::text and i.consumer = c.consumer and i.outcome = 'handled')
group by c.consumer
union all
select 'held of ' || consumer, count(*) from worker.held group by consumer
union all
select 'deliveries', count(*) from worker.delivery where delivered_at is null
"""

NUMBERS = """
-- numbers_of_chat
select sequence from realtime.entry where room = %s and stream = 'chat'
"""


def await_rest(here: Stage, talking: Talking) -> Mapping[str, int]:
    """Wait until nothing is left to do; return what is, when that takes too long."""
    deadline = time.monotonic() + REST_SECONDS
    while (left := _left(here, talking)) and time.monotonic() < deadline:
        time.sleep(0.3)
    return left


def _left(here: Stage, talking: Talking) -> dict[str, int]:
    # Asked first: what the last of them says is among the numbers.
    left = {"speakers": len(talking.speaking)}
    try:
        left |= dict(here.ask(LEFT, list(CONSUMERS), list(CONSUMERS.values())))
        numbers = {number for (number,) in here.ask(NUMBERS, ROOM)}
    except psycopg.OperationalError as error:
        return {f"{DATABASE}: {error}": 1}
    left |= {who: len(numbers - heard) for who, heard in talking.heard.items()}
    return {name: number for name, number in left.items() if number}
