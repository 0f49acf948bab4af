"""What happens in the school, and telling of it in the same transaction, which is the caller's.

The order of a user's messages is defined by the lock on the user's row: it is taken first, and the messages'
key is the user. Two purchases of one user at the same time then come out one after the other, in Kafka as in
PostgreSQL.
"""

from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy.orm import Session

from app_integration import enqueue
from app_integration.examples.edu.tables import Course, Enrolment, Payment, User


def register(session: Session, email: str, name: str) -> tuple[User, list[UUID]]:
    """Register a user: a row, and the messages that tell of it.

    Args:
        session: the caller's; nothing is committed here.
        email: must be new.
        name: how the user is addressed.

    Returns:
        The user, and the ids of the messages.
    """
    user = User(email=email, name=name, told=0)
    session.add(user)
    session.flush()  # gives the user its id, which is the key of its messages
    return user, [
        _tell(session, user, "business-events", "user_registered", email=email, user_type="student"),
        _tell(session, user, "email-queue", "welcome", to=email, template="welcome", data={"name": name}),
        _tell(session, user, "audit-logs", "user_registered", resource="user", details={"email": email}),
    ]


def buy(session: Session, user_id: int, course: Course) -> list[UUID]:
    """Sell a course to a user: a payment, an enrolment, and the messages that tell of them.

    Args:
        session: the caller's; nothing is committed here.
        user_id: who buys.
        course: what.

    Returns:
        The ids of the messages.

    Raises:
        NoResultFound: there is no such user.
    """
    user = session.get_one(User, user_id, with_for_update=True)
    payment = Payment(user_id=user.id, course_id=course.id, amount=course.price)
    session.add_all([payment, Enrolment(user_id=user.id, course_id=course.id)])
    session.flush()
    return [
        _tell(session, user, "business-events", "payment_completed", payment=payment.id, amount=course.price),
        _tell(session, user, "business-events", "course_enrolled", course=course.id, price=_euros(course.price)),
        _tell(session, user, "notification-queue", "course_access", title=f"{course.name} is yours"),
        _tell(session, user, "analytics-events", "course_bought", properties={"course": course.id}),
    ]


def _tell(session: Session, user: User, topic: str, kind: str, **details: Any) -> UUID:
    """Enqueue the next message about a user whose row is locked, with its number."""
    user.told += 1
    return enqueue(session, topic, {"n": user.told, "user": user.id, **details}, key=str(user.id), type=kind)


def _euros(amount: Decimal) -> str:
    return f"{amount:.2f} EUR"
