"""An application that commits as fast as it can, or steadily, on sessions that run inside the server.

Each session calls a procedure that inserts and commits in a loop. A client's own processor time and round trips would
hide what a commit costs the server, above all where both share a few cores; a thread of Python for each session only
waits. Every commit is on disk when it returns. Knows nothing of relays.
"""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import psycopg

from relay.bench.ground import LOGICAL, Outbox

PAYLOAD_BYTES = 300
KEYS = 1000

LOOK_SECONDS = 0.1
"""Between two calls of whoever looks on meanwhile."""

CREATE = """
-- create_clients: a domain table, and one with the columns, defaults and values of outbox.message and none of its
-- indexes, checks, partitions and triggers
create schema bench;
create table bench.orders (
    id        bigint      not null generated always as identity primary key,
    customer  text        not null,
    amount    numeric     not null,
    placed_at timestamptz not null default clock_timestamp()
);
create table bench.plain (
    like outbox.message including defaults including generated including identity,
    primary key (seq)
);

-- create_commit_until: counts the commits that ended between two moments
create procedure bench.commit_until(
    topic text, keys int, payload bytea, plain boolean, counted_from timestamptz, deadline timestamptz,
    inout commits bigint
)
    language plpgsql
as $procedure$
declare
    customer text;
    ended    timestamptz;
begin
    commits := 0;
    loop
        customer := floor(random() * keys)::int::text;
        insert into bench.orders (customer, amount) values (customer, 1);
        if plain then
            insert into bench.plain (topic, key, type, payload)
            values (topic, customer, 'bench.ordered', payload);
        else
            insert into outbox.message (topic, key, type, payload)
            values (topic, customer, 'bench.ordered', payload);
        end if;
        commit;
        ended := clock_timestamp();
        exit when ended >= deadline;
        if ended >= counted_from then
            commits := commits + 1;
        end if;
    end loop;
end
$procedure$;

-- create_commit_steadily: null for a rate is as fast as it goes
create procedure bench.commit_steadily(topic text, keys int, payload bytea, count int, per_second float8)
    language plpgsql
as $procedure$
declare
    began timestamptz := clock_timestamp();
begin
    for number in 1..count loop
        if per_second is not null then
            perform pg_sleep(number / per_second - extract(epoch from clock_timestamp() - began)::float8);
        end if;
        insert into outbox.message (topic, key, type, payload)
        values (topic, (number % keys)::text, 'bench.steady', payload);
        commit;
    end loop;
end
$procedure$;
"""

LEAVE_ALONE = """
-- leave_alone: autovacuum comes at moments of its own, to whatever is being measured then
do $do$
declare
    its record;
begin
    for its in
        select oid::regclass as name from pg_class
        where relkind = 'r' and relnamespace in ('outbox'::regnamespace, 'bench'::regnamespace)
    loop
        execute format('alter table %s set (autovacuum_enabled = off)', its.name);
    end loop;
end
$do$
"""

MOMENTS = """
-- moments: by the server's clock, which is the procedure's
select clock_timestamp() + %(ignored)s * interval '1 second',
       clock_timestamp() + (%(ignored)s + %(counted)s) * interval '1 second'
"""

COMMIT_UNTIL = """
-- commit_until
call bench.commit_until(%(topic)s, %(keys)s, %(payload)s, %(plain)s, %(counted_from)s, %(deadline)s, null)
"""

COMMIT_STEADILY = """
-- commit_steadily
call bench.commit_steadily(%(topic)s, %(keys)s, %(payload)s, %(count)s, %(per_second)s)
"""

MESSAGE = {"topic": LOGICAL, "keys": KEYS, "payload": b"x" * PAYLOAD_BYTES}


@dataclass(frozen=True)
class Clients:
    """Open sessions of an application, and a thread for each."""

    sessions: "list[psycopg.Connection]"
    threads: ThreadPoolExecutor

    def commits_a_second(
        self,
        clients: int,
        ignored: float,
        counted: float,
        *,
        plain: bool = False,
        meanwhile: Callable[[], None] = lambda: None,
    ) -> float:
        """Commit as fast as it goes: a domain row and an outbox message in every transaction.

        Args:
            clients: how many sessions.
            ignored: seconds at the beginning whose commits are not counted.
            counted: seconds after that.
            plain: whether the second insert goes to the plain table instead of the outbox.
            meanwhile: is called some times in the seconds that count.

        Returns:
            The commits that ended in the seconds that count, for each of them.
        """
        moments = self.sessions[0].execute(MOMENTS, {"ignored": ignored, "counted": counted}).fetchone()
        assert moments is not None
        until = {**MESSAGE, "plain": plain, "counted_from": moments[0], "deadline": moments[1]}
        look_from = time.monotonic() + ignored

        def look() -> None:
            if time.monotonic() >= look_from:
                meanwhile()

        return sum(self._call(COMMIT_UNTIL, [until] * clients, look)) / counted

    def commit_messages(self, count: int, *, clients: int, per_second: float | None = None) -> None:
        """Commit messages one by one, shared among some sessions, all together at a rate or as fast as it goes."""
        share = {"count": count // clients, "per_second": per_second and per_second / clients}
        self._call(COMMIT_STEADILY, [{**MESSAGE, **share}] * clients, lambda: None)

    def _call(self, statement: str, parameters: list[dict[str, Any]], meanwhile: Callable[[], None]) -> list[int]:
        """Call a procedure on as many sessions as there are parameters; return what it counted on each."""

        def call(session: "psycopg.Connection", given: dict[str, Any]) -> int:
            answer = session.execute(statement, given)
            return int(answer.fetchall()[0][0]) if answer.description else 0

        calls = [self.threads.submit(call, *one) for one in zip(self.sessions, parameters, strict=False)]
        while wait(calls, timeout=LOOK_SECONDS).not_done:
            meanwhile()
        return [one.result() for one in calls]


@contextmanager
def clients(outbox: Outbox, most: int) -> Iterator[Clients]:
    """Give the clients of an outbox, and keep autovacuum away from it; once for each outbox.

    Args:
        outbox: where.
        most: how many sessions at once.
    """
    with ExitStack() as stack:
        sessions = [stack.enter_context(outbox.connect()) for _ in range(most)]
        sessions[0].execute(CREATE)
        sessions[0].execute(LEAVE_ALONE)
        yield Clients(sessions, stack.enter_context(ThreadPoolExecutor(most, "bench-client")))
