"""Two writers of one key come out in the order in which they committed, when they take turns by locking their row."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from uuid import UUID, uuid4

import psycopg
import pytest
from sqlalchemy import Engine, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from app_integration import enqueue
from tests.integration.enqueueing import Account, Base, committed, engine_of

WRITERS = 4
TURNS = 25


class MappedMessage(Base):
    """The outbox as an application would naively map it."""

    __tablename__ = "message"
    __table_args__ = {"schema": "outbox"}  # noqa: RUF012 - SQLAlchemy's way to say it

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    topic: Mapped[str]
    key: Mapped[str]
    payload: Mapped[bytes]


class Wallet(Base):
    """A domain row whose class comes after the message's by name: so the unit of work orders what is unrelated."""

    __tablename__ = "wallet"

    id: Mapped[int] = mapped_column(primary_key=True)
    balance: Mapped[int]


@pytest.fixture
def engine(database: str) -> Iterator[Engine]:
    with engine_of(database, pool_size=WRITERS) as engine:
        with Session(engine) as session:
            session.add_all([Account(id=1), Wallet(id=1, balance=0)])
            session.commit()
        yield engine


def enqueued(session: Session, balance: int) -> None:
    enqueue(session, "accounts", str(balance).encode(), key="1")


def wait_until_blocked(database: str) -> None:
    """Return once some session waits for the account's lock, which the server knows."""
    with psycopg.connect(database, autocommit=True) as connection:
        blocked = "select exists (select from pg_locks where not granted)"
        while connection.execute(blocked).fetchone() != (True,):
            pass


def balances(database: str) -> list[int]:
    return [int(payload) for payload in committed(database, "payload")]


def take_turns(engine: Engine, database: str, second: Callable[[Session, Wallet], None]) -> list[int]:
    """Two writers of one wallet: the second comes while the first holds its row, which commits first."""

    def write() -> None:
        with Session(engine) as session:
            second(session, session.get_one(Wallet, 1))
            session.commit()

    with Session(engine) as first, ThreadPoolExecutor(1) as pool:
        first.get_one(Wallet, 1).balance = 1
        first.flush()
        done = pool.submit(write)
        wait_until_blocked(database)
        enqueued(first, 1)
        first.commit()
        done.result(timeout=30)
    return balances(database)


def test_the_message_is_numbered_while_the_rows_lock_is_held(engine: Engine, database: str) -> None:
    def second(session: Session, wallet: Wallet) -> None:
        enqueued(session, 2)
        wallet.balance = 2

    assert take_turns(engine, database, second) == [1, 2]


def test_a_mapped_message_would_be_numbered_before_the_rows_lock(engine: Engine, database: str) -> None:
    """Why messages are no mapped objects: this one is in the table before its row is locked, and so comes first."""

    def second(session: Session, wallet: Wallet) -> None:
        wallet.balance = 2
        session.add(MappedMessage(topic="accounts", key="1", payload=b"2"))

    assert take_turns(engine, database, second) == [2, 1]


@pytest.mark.parametrize("lock", ["for update", "update"])
def test_writers_of_one_key_come_out_in_commit_order(engine: Engine, database: str, lock: str) -> None:
    """Each writer reads the balance under the lock and announces the next: out of order, it would not count up."""
    start = threading.Barrier(WRITERS)

    def turn_for_update(session: Session) -> None:
        account = session.scalars(select(Account).where(Account.id == 1).with_for_update()).one()
        account.balance += 1
        enqueued(session, account.balance)

    def turn_update(session: Session) -> None:
        account = session.get_one(Account, 1)
        account.balance = Account.balance + 1
        session.flush()
        enqueued(session, account.balance)

    turn: Callable[[Session], None] = turn_for_update if lock == "for update" else turn_update

    def write() -> None:
        start.wait()
        for _ in range(TURNS):
            with Session(engine) as session:
                turn(session)
                session.commit()

    with ThreadPoolExecutor(WRITERS) as pool:
        for done in [pool.submit(write) for _ in range(WRITERS)]:
            done.result(timeout=60)
    seen = balances(database)
    assert len(seen) == WRITERS * TURNS
    assert all(after == before + 1 for before, after in pairwise(seen))
