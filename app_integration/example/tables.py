"""The application's own tables, schema `edu_matrix`. They know nothing of the outbox, which is beside them.

The law of order: whoever changes anything of a user locks this user's row first, and keeps it to the commit. So what
is told of one user comes out in the order in which it became true, and two purchases of one user take turns. Made by
the migrations in `migrations/`, which have the constraints too.
"""

from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import DateTime, ForeignKey, MetaData, Numeric, func
from sqlalchemy.dialects.postgresql import JSON
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from app_integration.contracts import Money
from app_integration.message import uuid7


class Table(DeclarativeBase):
    """The application's metadata."""

    metadata = MetaData(schema="edu_matrix")
    type_annotation_map = {datetime: DateTime(timezone=True)}  # noqa: RUF012 - as SQLAlchemy has it


class User(Table):
    """Somebody with an account."""

    __tablename__ = "users"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid7)
    email: Mapped[str]
    """Unique, whatever its capitals."""
    name: Mapped[str]
    user_type: Mapped[str]
    password_hash: Mapped[str]
    registered_at: Mapped[datetime] = mapped_column(server_default=func.now())


class Course(Table):
    """Something to learn, at a price."""

    __tablename__ = "courses"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid7)
    name: Mapped[str]
    amount: Mapped[Decimal] = mapped_column(Numeric(18, 3))
    currency: Mapped[str]
    teacher_id: Mapped[UUID | None] = mapped_column(ForeignKey(User.id))

    @property
    def price(self) -> Money:
        """What it costs."""
        return Money(amount=self.amount, currency=self.currency)


class State(StrEnum):
    """How far a purchase is."""

    PENDING = "pending"
    """Begun; the provider may have been asked. Whoever finds it so settles it."""
    COMPLETED = "completed"
    DECLINED = "declined"
    """The provider said no."""
    REJECTED = "rejected"
    """We said no, before anybody paid."""
    ABANDONED = "abandoned"
    """It was left behind, and the provider now says that nothing was or will be charged."""


class Purchase(Table):
    """One wish to buy, with what was answered: committed before the provider is asked, so that no crash forgets it."""

    __tablename__ = "purchases"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid7)
    """Our payment's id, under which the provider charges once, however often it is asked."""
    user_id: Mapped[UUID] = mapped_column(ForeignKey(User.id))
    course_id: Mapped[UUID] = mapped_column(ForeignKey(Course.id))
    amount: Mapped[Decimal] = mapped_column(Numeric(18, 3))
    currency: Mapped[str]
    idempotency_key: Mapped[str]
    fingerprint: Mapped[str]
    """Of the request; the same key with another request is a mistake."""
    state: Mapped[str] = mapped_column(default=State.PENDING.value)
    status: Mapped[int | None]
    answer: Mapped[dict[str, Any] | None] = mapped_column(JSON)
    """As it was written, to the byte, which JSONB would not keep."""
    begun_at: Mapped[datetime] = mapped_column(server_default=func.now())

    @property
    def price(self) -> Money:
        """What is charged: the price when it was begun."""
        return Money(amount=self.amount, currency=self.currency)


class Payment(Table):
    """Money that we have."""

    __tablename__ = "payments"

    id: Mapped[UUID] = mapped_column(ForeignKey(Purchase.id), primary_key=True)
    user_id: Mapped[UUID] = mapped_column(ForeignKey(User.id))
    amount: Mapped[Decimal] = mapped_column(Numeric(18, 3))
    currency: Mapped[str]
    charge_id: Mapped[str]
    """The provider's name for it."""
    paid_at: Mapped[datetime] = mapped_column(server_default=func.now())


class Enrolment(Table):
    """A user's seat in a course; one, and paid for once."""

    __tablename__ = "enrolments"

    user_id: Mapped[UUID] = mapped_column(ForeignKey(User.id), primary_key=True)
    course_id: Mapped[UUID] = mapped_column(ForeignKey(Course.id), primary_key=True)
    payment_id: Mapped[UUID] = mapped_column(ForeignKey(Payment.id))
    since: Mapped[datetime]
