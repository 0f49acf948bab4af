"""What was truly committed, by a table of the application's own that the outbox knows nothing of.

A trigger writes it in the transaction of each message: whatever becomes of that transaction becomes of the entry, and
the entry outlives retention. It never looks into the outbox to say what should have been sent.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import psycopg

CREATE = """
-- create_ledger
create table public.ledger (
    id            uuid        not null,
    topic         text        not null,
    key           text,
    seq           bigint      not null,
    size          integer     not null,
    deliver_after timestamptz,
    created_at    timestamptz not null
);
create function public.note() returns trigger
    language plpgsql
as $function$
begin
    insert into public.ledger
    values (new.id, new.topic, new.key, new.seq, coalesce(octet_length(new.payload), 0), new.deliver_after,
            new.created_at);
    return null;
end
$function$;
create trigger ledger after insert on outbox.message for each row execute function public.note();
"""

COMMITTED = """
-- committed
select id::text, topic, key, seq, size, extract(epoch from deliver_after)::float8,
       extract(epoch from created_at)::float8
from public.ledger order by seq
"""

DUE = """
-- due: what should be on its way by now
select id::text, topic, size from public.ledger where deliver_after is null or deliver_after <= clock_timestamp()
"""

HELD = """
-- held: what is set aside and waits for an operator
select id::text from outbox.held where settled_as is null and failed_at is not null
"""


@dataclass(frozen=True, slots=True)
class Entry:
    """One committed message."""

    id: str
    topic: str
    key: str | None
    seq: int
    size: int
    """Of its payload, in bytes."""
    deliver_after: float | None
    created_at: float
    """Both in seconds since 1970."""

    @property
    def queue(self) -> tuple[str, str] | None:
        """The topic and key in whose order it has a place; None for writers without an order, and scheduled ones."""
        ordered = self.key is not None and self.key.startswith("locked") and self.deliver_after is None
        return (self.topic, self.key) if ordered and self.key else None


class Ledger:
    """The ledger of one database.

    Args:
        database_url: straight to the server, for no fault may reach the ledger's reader.
        limits: how many bytes each topic takes, where it does not take all.
    """

    def __init__(self, database_url: str, limits: Mapping[str, int]) -> None:
        self._url = database_url
        self._limits = limits

    def create(self) -> None:
        """Begin to keep it; from here on every message has an entry."""
        with psycopg.connect(self._url) as connection:
            connection.execute(CREATE)

    def committed(self) -> list[Entry]:
        """Read all of it, in the order of writing."""
        with psycopg.connect(self._url) as connection:
            return [Entry(*row) for row in connection.execute(COMMITTED)]

    def due(self) -> set[str]:
        """Read the ids of all that should have arrived, or be on its way."""
        with psycopg.connect(self._url) as connection:
            return {id_ for id_, topic, size in connection.execute(DUE) if size <= self._limits.get(topic, size)}

    def withheld(self) -> set[str]:
        """Read the ids of what Kafka will never take, and the outbox holds for an operator to see."""
        with psycopg.connect(self._url) as connection:
            held = {id_ for (id_,) in connection.execute(HELD)}
        return {each.id for each in self.committed() if each.size > self._limits.get(each.topic, each.size)} & held
