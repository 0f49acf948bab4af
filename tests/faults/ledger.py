"""What was truly committed, by a table of the application's own that the outbox knows nothing of.

A trigger writes it in the transaction of each message: whatever becomes of that transaction becomes of the entry, and
the entry outlives retention. It never looks into the outbox to say what should have been sent.
"""

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

COMMITTED_IDS = """
-- committed_ids: of what is due
select id::text, topic, size from public.ledger where deliver_after is null or deliver_after <= clock_timestamp()
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
    """

    def __init__(self, database_url: str) -> None:
        self._url = database_url

    def create(self) -> None:
        """Begin to keep it; from here on every message has an entry."""
        with psycopg.connect(self._url) as connection:
            connection.execute(CREATE)

    def committed(self) -> list[Entry]:
        """Read all of it, in the order of writing."""
        with psycopg.connect(self._url) as connection:
            return [Entry(*row) for row in connection.execute(COMMITTED)]

    def due(self) -> list[tuple[str, str, int]]:
        """Read id, topic and size of every message that should be on its way by now."""
        with psycopg.connect(self._url) as connection:
            return connection.execute(COMMITTED_IDS).fetchall()
