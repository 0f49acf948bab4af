"""What enqueueing costs beside the bare INSERT: `python -m app_integration.bench`, which `relay bench` starts.

Law: it works in a database that `relay bench` made for it and refuses any other, for its messages are committed. All
ways are timed in turn, so that a drift of the machine meets each, and each in a session and a transaction of its own:
from `Session(...)` to the end of `commit()`. What is bare has nothing to do but to send: its rows are made, checked and
serialised before the clock starts. The answer is one line of JSON: the seconds of each repetition, by way.
"""

import argparse
import itertools
import json
import os
import time
from collections.abc import Callable, Sequence
from typing import Any

from sqlalchemy import URL, create_engine, make_url
from sqlalchemy.exc import ArgumentError
from sqlalchemy.orm import Session

from app_integration.message import NewMessage, Row, prepare
from app_integration.outbox import enqueue, enqueue_many
from app_integration.statement import insertion
from app_integration.topics import Topics
from relay.schema import message as table

OWN = "relay_bench_"
"""How the names of the databases begin that `relay bench` makes."""

AT_ONCE = 1_000

UNTIMED = 10
"""Rounds before the clock starts: the first ones connect, compile, and have statements prepared."""

COPY = f"""
-- copy_messages
copy outbox.message ({", ".join(Row._fields)}) from stdin
"""

_LINES = [{"sku": f"A-{number}", "quantity": number, "price": "12.50"} for number in range(1, 4)]

_numbers = itertools.count(1)

Ways = dict[str, Callable[[Session], Any]]
"""Ways of writing the same, by name; each is handed a session and leaves the commit to the caller."""


def new_message() -> NewMessage:
    """Make an order of about 300 bytes, for one of 1,000 keys."""
    number = next(_numbers)
    order = {"order": number, "customer": f"c-{number % 1000}", "placed_at": "2026-01-01T12:00:00Z", "lines": _LINES}
    return NewMessage(
        topic="bench", payload={**order, "note": "x" * 100}, key=str(number % 1000), type="bench.enqueued"
    )


def one() -> Ways:
    """Write one message."""
    new, columns = new_message(), ready(1)[0]._asdict()
    return {
        "enqueue": lambda session: enqueue(session, new.topic, new.payload, key=new.key, type=new.type),
        "insert": lambda session: session.execute(table.insert(), columns),
    }


def many() -> Ways:
    """Write a thousand messages: by `enqueue_many`, by either plain INSERT of SQLAlchemy's, and by what is faster."""
    new = [new_message() for _ in range(AT_ONCE)]
    each, together = ([row._asdict() for row in ready(AT_ONCE)] for _ in range(2))
    arrays, copied = insertion(ready(AT_ONCE)), ready(AT_ONCE)
    return {
        "enqueue_many": lambda session: enqueue_many(session, new),
        "executemany": lambda session: session.execute(table.insert(), each),
        "all rows in one": lambda session: session.execute(table.insert().values(together)),
        "the same statement": lambda session: session.execute(*arrays),
        "copy": lambda session: copy(session, copied),
    }


def ready(count: int) -> list[Row]:
    """Make rows of messages, which is the work that `enqueue` has and a bare INSERT has not."""
    return [prepare(new_message(), Topics({}, strict=False)) for _ in range(count)]


def copy(session: Session, rows: Sequence[Row]) -> None:
    """Write rows by COPY, for which SQLAlchemy has no way of its own."""
    driver: Any = session.connection().connection.driver_connection
    with driver.cursor() as cursor, cursor.copy(COPY) as copying:
        for row in rows:
            copying.write_row(row)


def timed(url: URL, ways: Callable[[], Ways], times: int) -> dict[str, list[float]]:
    """Time ways of writing in turn.

    Args:
        url: the database.
        ways: makes them anew, for each round.
        times: how many rounds.

    Returns:
        The seconds of each round, by way.
    """
    seconds: dict[str, list[float]] = {}
    engine = create_engine(url)
    for _ in range(UNTIMED + times):
        for name, write in ways().items():
            began = time.perf_counter()
            with Session(engine) as session:
                write(session)
                session.commit()
            seconds.setdefault(name, []).append(time.perf_counter() - began)
    engine.dispose()
    return {name: all_of[UNTIMED:] for name, all_of in seconds.items()}


def own_database(given: str) -> URL:
    """Read the address of the database.

    Raises:
        ValueError: it is no URL, or of a database that was not made for this.
    """
    try:
        url = make_url(given).set(drivername="postgresql+psycopg")
    except ArgumentError:
        raise ValueError("DATABASE_URL must be a URL: postgresql://user:password@host:port/database") from None
    if not (url.database or "").startswith(OWN):
        raise ValueError(
            f"DATABASE_URL leads to the database {url.database!r}: thousands of messages would be committed there; "
            f"allowed is one that `relay bench enqueue` made, {OWN}..."
        )
    return url


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Time enqueueing beside the bare INSERT, for `relay bench enqueue`.")
    parser.add_argument("--ones", type=int, default=500, help="how often one message is written")
    parser.add_argument("--thousands", type=int, default=10, help="how often a thousand are")
    options = parser.parse_args()
    try:
        url = own_database(os.environ.get("DATABASE_URL", ""))
    except ValueError as error:
        parser.error(str(error))
    answer = {"one": timed(url, one, options.ones), "many": timed(url, many, options.thousands)}
    print(json.dumps(answer))  # noqa: T201 - its answer to the parent


if __name__ == "__main__":
    main()
