"""Messages with payloads of any size, and topics that take them.

Payloads are random bytes, so that neither PostgreSQL nor Kafka can make them smaller than they claim to be: a page of a
mebibyte of one letter is 12 kB on PostgreSQL's disk.
"""

from typing import LiteralString

from relay.bench.ground import LOGICAL, Outbox, settle

FILL_RANDOM: LiteralString = """
-- fill_random: each payload is a stretch of the same random bytes, begun somewhere else each time
with random as materialized (
    select string_agg(decode(md5(random()::text), 'hex'), '') as bytes
    from generate_series(1, (%(size)s + 65536) / 16 + 1)
)
insert into outbox.message (topic, key, type, payload)
select %(topic)s, (n %% 1000)::text, 'bench.filled', substr(random.bytes, 1 + (n * 7919) %% 65536, %(size)s)
from random, generate_series(1, %(count)s) as n
order by n
"""


def fill_random(outbox: Outbox, count: int, size: int) -> None:
    """Enqueue messages of random payloads in one transaction, and let the table settle.

    Args:
        outbox: where.
        count: how many.
        size: bytes of each payload.
    """
    with outbox.connect() as connection:
        connection.execute(FILL_RANDOM, {"topic": LOGICAL, "size": size, "count": count})
        settle(connection)


def room_for(size: int) -> dict[str, str]:
    """Return Kafka's settings of a topic that takes payloads of a size, in bytes.

    Never below Kafka's own default, which every message under a mebibyte fits into (Kafka documentation, topic configs:
    `max.message.bytes`, 1048588).
    """
    return {"max.message.bytes": str(max(1_048_588, size + 65_536))}
