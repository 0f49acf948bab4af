"""An application's domain for the tests of enqueueing, and a look at the outbox from outside."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from sqlalchemy import Engine, create_engine
from sqlalchemy.engine import make_url
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class Base(DeclarativeBase):
    pass


class Account(Base):
    """The aggregate: writers of one account take turns by locking its row."""

    __tablename__ = "account"

    id: Mapped[int] = mapped_column(primary_key=True)
    balance: Mapped[int] = mapped_column(default=0)


def url(database: str, driver: str = "psycopg") -> str:
    return make_url(database).set(drivername=f"postgresql+{driver}").render_as_string(hide_password=False)


@contextmanager
def engine_of(database: str, driver: str = "psycopg", **options: Any) -> Iterator[Engine]:
    """An engine on a database that has the domain's table, disposed of afterwards."""
    engine = create_engine(url(database, driver), **options)
    try:
        Base.metadata.create_all(engine)
        yield engine
    finally:
        engine.dispose()


def committed(database: str, column: str = "key") -> list[Any]:
    """What the relay would find, in its order, as a connection of its own sees it."""
    with psycopg.connect(database) as connection:
        return [row[0] for row in connection.execute(f"select {column} from outbox.message order by seq").fetchall()]


def accounts(database: str) -> int:
    with psycopg.connect(database) as connection:
        row = connection.execute("select count(*) from account").fetchone()
        assert row is not None
        return int(row[0])
