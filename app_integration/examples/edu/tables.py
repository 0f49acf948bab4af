"""The school's own tables, schema `edu`. They know nothing of the outbox."""

from datetime import datetime
from decimal import Decimal
from uuid import UUID

from sqlalchemy import BigInteger, Engine, ForeignKey, Identity, MetaData, Numeric, func, text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class Table(DeclarativeBase):
    """The school's metadata."""

    metadata = MetaData(schema="edu")


class User(Table):
    """Somebody who learns. Whoever changes anything of a user locks this row first."""

    __tablename__ = "users"

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    email: Mapped[str] = mapped_column(unique=True)
    name: Mapped[str]
    told: Mapped[int] = mapped_column(BigInteger, default=0)
    """How many messages told of this user; each carries its number, so that a consumer can see a gap."""


class Course(Table):
    """Something to learn."""

    __tablename__ = "courses"

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)
    price: Mapped[Decimal] = mapped_column(Numeric(8, 2))


class Payment(Table):
    """What a user paid for a course."""

    __tablename__ = "payments"

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey(User.id), index=True)
    course_id: Mapped[int] = mapped_column(ForeignKey(Course.id))
    amount: Mapped[Decimal] = mapped_column(Numeric(8, 2))


class Enrolment(Table):
    """A user's seat in a course; buying the course again renews it, as one more row."""

    __tablename__ = "enrolments"

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey(User.id), index=True)
    course_id: Mapped[int] = mapped_column(ForeignKey(Course.id))
    since: Mapped[datetime] = mapped_column(server_default=func.now())


class RolledBack(Table):
    """The ids of messages whose transactions were rolled back, noted afterwards by a transaction of its own.

    No application needs this. It is what lets somebody else prove that none of them was ever published.
    """

    __tablename__ = "rolled_back"

    message_id: Mapped[UUID] = mapped_column(primary_key=True)


def create(engine: Engine) -> None:
    """Create what is missing of the schema and its tables, and the courses."""
    with engine.begin() as connection:
        connection.execute(text("create schema if not exists edu"))
        Table.metadata.create_all(connection)
        connection.execute(
            text("insert into edu.courses (name, price) values "
                 "('Algebra', 49), ('Biology', 59.90), ('Chemistry', 65), ('Drawing', 19.50) "
                 "on conflict do nothing")
        )  # fmt: skip
