"""Several writers at once, for some seconds or until told to stop (SIGTERM, Ctrl-C).

Most of what they do is committed. Some purchases fail after everything was written, and are rolled back as a
whole; some only to a savepoint; some take their time before they commit, so that later purchases of others
overtake them.
"""

import argparse
import os
import random
import signal
import sys
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from uuid import UUID, uuid4

from sqlalchemy import URL, Engine, create_engine, insert, make_url, select
from sqlalchemy.exc import ArgumentError, OperationalError, ProgrammingError
from sqlalchemy.orm import Session

from app_integration.examples.edu.school import buy, register
from app_integration.examples.edu.tables import Course, RolledBack, User, create

REGISTERED = 0.10
DECLINED = 0.10
DECLINED_IN_PART = 0.05
SLOW = 0.01
"""The chances that a transaction is of such a kind; the others are plain purchases."""

DICE = random.Random()  # noqa: S311 - nothing is secret here

NEWEST_USERS = 40
"""Purchases go to the newest users, so that writers meet at the same keys."""


class Writer:
    """One of the writers; each has a thread and sessions of its own, and they share the database alone."""

    def __init__(self, engine: Engine, stop: threading.Event, pause: float) -> None:
        """Prepare to write.

        Args:
            engine: the school's database.
            stop: ends the writing, between two transactions.
            pause: seconds between two transactions, on average.
        """
        self._engine = engine
        self._stop = stop
        self._pause = pause
        with Session(engine) as session:
            self._courses: Sequence[Course] = session.scalars(select(Course)).all()

    def run(self) -> int:
        """Write until stopped; return the number of transactions. If one fails, all writers stop."""
        count = 0
        try:
            while not self._stop.is_set():
                self._transaction()
                count += 1
                self._stop.wait(DICE.expovariate(1 / self._pause) if self._pause else 0)
        finally:
            self._stop.set()
        return count

    def _transaction(self) -> None:
        with Session(self._engine) as session:
            users = session.scalars(select(User.id).order_by(User.id.desc()).limit(NEWEST_USERS)).all()
            session.rollback()  # the lock comes first in the transaction that matters
            if not users or DICE.random() < REGISTERED:
                self._register(session)
                return
            user_id, course = DICE.choice(users), DICE.choice(self._courses)
            chance = DICE.random()
            if chance < DECLINED:
                self._buy_in_vain(session, user_id, course)
            elif chance < DECLINED + DECLINED_IN_PART:
                self._buy_two_of_which_one_in_vain(session, user_id, course)
            else:
                self._buy(session, user_id, course)

    def _register(self, session: Session) -> None:
        register(session, email=f"{uuid4().hex[:12]}@example.com", name=DICE.choice(["Ada", "Emmy", "Sofja"]))
        session.commit()

    def _buy(self, session: Session, user_id: int, course: Course) -> None:
        buy(session, user_id, course)
        session.flush()
        if DICE.random() < SLOW:
            self._stop.wait(DICE.uniform(0.5, 1.5))
        session.commit()

    def _buy_in_vain(self, session: Session, user_id: int, course: Course) -> None:
        messages = buy(session, user_id, course)
        session.flush()  # PostgreSQL has it all now, and has to take it back
        session.rollback()
        self._note(messages)

    def _buy_two_of_which_one_in_vain(self, session: Session, user_id: int, course: Course) -> None:
        buy(session, user_id, course)
        savepoint = session.begin_nested()
        messages = buy(session, user_id, DICE.choice(self._courses))
        session.flush()
        savepoint.rollback()
        session.commit()
        self._note(messages)

    def _note(self, messages: list[UUID]) -> None:
        """Note what was rolled back, on a connection of its own: what failed cannot tell of itself."""
        with self._engine.begin() as connection:
            connection.execute(insert(RolledBack), [{"message_id": message} for message in messages])


def main() -> int:
    """Create the school's tables, write, say how much; return the exit code."""
    options = _options()
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    try:
        engine = create_engine(options.database_url, pool_size=2 * options.writers)
        create(engine)
        count = _write(engine, stop, options)
    except (OperationalError, ProgrammingError) as error:
        reason = str(error.orig).partition("\n")[0]
        print(f"the writers ended, for the database refused: {reason}", file=sys.stderr)  # noqa: T201
        return 1
    print(f"{count} transactions")  # noqa: T201
    return 0


def _write(engine: Engine, stop: threading.Event, options: argparse.Namespace) -> int:
    timer = threading.Timer(options.seconds, stop.set)
    timer.start()
    try:
        with ThreadPoolExecutor(options.writers) as pool:
            writers = [Writer(engine, stop, options.pause_ms / 1000) for _ in range(options.writers)]
            return sum(pool.map(Writer.run, writers))
    finally:
        timer.cancel()


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m app_integration.examples.edu", description="Sell courses.")
    parser.add_argument(
        "--database-url",
        type=_url,
        default=os.environ.get("DATABASE_URL", ""),
        help="the school's database, with an outbox in it; else DATABASE_URL",
    )
    parser.add_argument("--writers", type=int, default=4, help="how many at once (%(default)s)")
    parser.add_argument("--seconds", type=float, default=15, help="for how long (%(default)s)")
    parser.add_argument(
        "--pause-ms",
        type=float,
        default=20,
        help="between two transactions of a writer, on average (%(default)s)",
    )
    return parser.parse_args()


def _url(text: str) -> URL:
    """Read a URL, whatever driver it names: ours is psycopg."""
    try:
        return make_url(text).set(drivername="postgresql+psycopg")
    except ArgumentError:
        # Without repeating it: there may be a password in it.
        raise argparse.ArgumentTypeError("expected postgresql://user:password@host:port/database") from None


if __name__ == "__main__":
    sys.exit(main())
