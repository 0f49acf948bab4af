"""Course purchase, as in the guide: payment, enrolment and what is told of them are one transaction, or none of it is.

The provider is somebody else, whom no transaction of ours binds. So:

1. The wish to buy is committed first, with the id under which the provider charges once.
2. Then, with the user's row locked, the provider is asked, and payment, enrolment, messages and the answer are
   committed together.

What if we die in between? The lock ends with us, and the purchase is left pending: the same request sent again takes
it up where it was, and `reconcile` settles what nobody comes back for: charged means enrolled, and what was not charged
is cancelled at the provider, so that no late answer can charge it. What if the commit succeeded and nobody heard? Then
the same request finds its answer. What if two clicks come at once? They wait for the user's row, one after the other,
and the second finds the first one's answer, or its seat.
"""

import hashlib
import json
import logging
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import Any
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncSession

from app_integration.contracts import (
    CourseEnrolled,
    PaymentCompleted,
    log_audit,
    publish_business_event,
    queue_email,
    queue_notification,
    track_event,
)
from app_integration.example.database import Sessions
from app_integration.example.payments import Cancelled, Charge, Declined, PaymentProvider, ProviderUnavailable
from app_integration.example.problems import Problem, unauthorized, unavailable
from app_integration.example.rooms import admit
from app_integration.example.tables import Course, Enrolment, Payment, Purchase, State, User

_log = logging.getLogger("edu_matrix")

AWAY = (ProviderUnavailable, DBAPIError, TimeoutError)
"""What says that a server is away: it is tried again, and no purchase is to blame."""

LEFT_BEHIND = timedelta(seconds=30)
"""After which a pending purchase is settled by `reconcile`. Only politeness: who is at work has the user's lock."""


@dataclass(frozen=True, slots=True)
class Order:
    """A request to buy."""

    user_id: UUID
    course_id: UUID
    method: str
    """The payment method, as the provider calls it."""
    key: str
    """The caller's Idempotency-Key: one purchase for each, however often it is sent."""

    @property
    def fingerprint(self) -> str:
        """What else must be the same for the same key."""
        return hashlib.sha256(json.dumps([str(self.course_id), self.method]).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Answer:
    """What was answered, and will be again."""

    status: int
    body: dict[str, Any]


async def buy(sessions: Sessions, provider: PaymentProvider, order: Order) -> Answer:
    """Sell a course.

    Raises:
        Problem: nothing was bought, and the same request may be sent again; the final refusals are answers.
    """
    async with sessions.begin() as session:
        purchase_id = await _begin(session, order)
    try:
        async with sessions.begin() as session:
            return await _settle(session, provider, order, purchase_id)
    except ProviderUnavailable:
        raise unavailable(
            "the payment provider does not answer; send the same request again, with the same Idempotency-Key"
        ) from None


async def _begin(session: AsyncSession, order: Order) -> UUID:
    """Note the wish, or find it noted."""
    if await session.get(User, order.user_id) is None:
        raise unauthorized("there is no such account")
    course = await session.get(Course, order.course_id)
    if course is None:
        raise Problem(HTTPStatus.NOT_FOUND, "no-such-course", "There is no such course", "its id is not known here")
    new = Purchase(
        user_id=order.user_id,
        course_id=course.id,
        amount=course.amount,
        currency=course.currency,
        idempotency_key=order.key,
        fingerprint=order.fingerprint,
    )
    columns = ("user_id", "course_id", "amount", "currency", "idempotency_key", "fingerprint")
    noting = insert(Purchase).values({name: getattr(new, name) for name in columns})
    await session.execute(noting.on_conflict_do_nothing(constraint="purchases_key"))
    found = select(Purchase.id).where(Purchase.user_id == order.user_id, Purchase.idempotency_key == order.key)
    return (await session.execute(found)).scalar_one()


async def _settle(session: AsyncSession, provider: PaymentProvider, order: Order, purchase_id: UUID) -> Answer:
    # The first lock, by which purchases of one user take turns; the key stays free for those who refer to the user.
    user = await session.get_one(User, order.user_id, with_for_update={"key_share": True})
    purchase = await session.get_one(Purchase, purchase_id, with_for_update=True)
    if purchase.fingerprint != order.fingerprint:
        raise Problem(
            HTTPStatus.UNPROCESSABLE_ENTITY,
            "key-reused",
            "The Idempotency-Key was used for another request",
            "send each purchase with a key of its own, and only a repetition with the same",
        )
    if purchase.state != State.PENDING:
        return _answered(purchase)
    await _settle_others(session, provider, user, purchase)
    if await session.get(Enrolment, (user.id, purchase.course_id)):
        return _refused(purchase, State.REJECTED, _problem_enrolled())
    try:
        charge = await provider.charge(purchase.id, purchase.price, order.method)
    except Declined as declined:
        return _refused(purchase, State.DECLINED, _problem_declined(str(declined)))
    except Cancelled:
        return _refused(purchase, State.ABANDONED, _problem_abandoned())
    return await _complete(session, user, purchase, charge)


async def _settle_others(session: AsyncSession, provider: PaymentProvider, user: User, purchase: Purchase) -> None:
    """Settle what the same user left pending of the same course: it may have been charged already."""
    others = select(Purchase).where(
        Purchase.user_id == user.id,
        Purchase.course_id == purchase.course_id,
        Purchase.state == State.PENDING,
        Purchase.id != purchase.id,
    )
    for other in await session.scalars(others.order_by(Purchase.id).with_for_update()):
        await _resolve(session, provider, user, other)


async def _resolve(session: AsyncSession, provider: PaymentProvider, user: User, purchase: Purchase) -> Answer:
    """Settle a purchase that was left behind: what was charged is completed, anything else cancelled."""
    charge = await provider.cancel(purchase.id)
    if charge is None:
        return _refused(purchase, State.ABANDONED, _problem_abandoned())
    return await _complete(session, user, purchase, charge)


async def reconcile(sessions: Sessions, provider: PaymentProvider, older: timedelta = LEFT_BEHIND) -> int:
    """Settle purchases that were left pending, by a crash or a provider that was away; return how many.

    One that cannot be settled is logged, stays pending, and keeps no other.

    Raises:
        One of `AWAY`: a server is away; what was settled until then stays so.
    """
    pending = select(Purchase.id, Purchase.user_id).where(
        Purchase.state == State.PENDING, Purchase.begun_at < func.now() - older
    )
    async with sessions.begin() as session:
        left = (await session.execute(pending.order_by(Purchase.begun_at))).all()
    count = 0
    for purchase_id, user_id in left:
        try:
            count += await _settle_left_behind(sessions, provider, purchase_id, user_id)
        except AWAY:
            raise
        except Exception:  # noqa: BLE001 - logged, and tried anew
            _log.exception("purchase %s was not settled, and stays pending", purchase_id)
    return count


async def _settle_left_behind(sessions: Sessions, provider: PaymentProvider, purchase_id: UUID, user_id: UUID) -> bool:
    async with sessions.begin() as session:
        # In the order of every purchase: the user first. One who is busy comes next time.
        user = await session.get(User, user_id, with_for_update={"key_share": True, "skip_locked": True})
        if user is None:
            return False
        purchase = await session.get_one(Purchase, purchase_id, with_for_update=True)
        if purchase.state != State.PENDING:
            return False
        await _resolve(session, provider, user, purchase)
        return True


async def _complete(session: AsyncSession, user: User, purchase: Purchase, charge: Charge) -> Answer:
    """Write all that follows from a charge, and tell of it."""
    course = await session.get_one(Course, purchase.course_id)
    now, price = datetime.now(UTC), purchase.price
    payment = Payment(
        id=purchase.id, user_id=user.id, amount=price.amount, currency=price.currency, charge_id=charge.id
    )
    session.add(payment)
    await session.flush()  # before the seat, which refers to it
    session.add(Enrolment(user_id=user.id, course_id=course.id, payment_id=payment.id, since=now))
    await admit(session, course.id, user.id)
    body = {
        "paymentId": str(payment.id),
        "courseId": str(course.id),
        "price": {"amount": str(price.amount), "currency": price.currency},
        "enrollmentDate": now.isoformat(),
    }
    purchase.state, purchase.status, purchase.answer = State.COMPLETED.value, int(HTTPStatus.CREATED), body
    _tell(session, user, course, purchase, now)
    return _answered(purchase)


def _tell(session: AsyncSession, user: User, course: Course, purchase: Purchase, now: datetime) -> None:
    user_id, course_id, payment_id, price = str(user.id), str(course.id), str(purchase.id), purchase.price
    publish_business_event(session, PaymentCompleted(user_id=user_id, payment_id=payment_id, amount=price))
    publish_business_event(
        session, CourseEnrolled(user_id=user_id, course_id=course_id, enrollment_date=now, price=price)
    )
    queue_email(
        session,
        to=user.email,
        subject="Course Access Granted!",
        template="course_access",
        data={"name": user.name, "courseName": course.name},
        user_id=user_id,
    )
    queue_notification(
        session,
        user_id=user_id,
        type="course_access",
        title="You have a course",
        message=f"{course.name} is yours. You can begin whenever you like.",
    )
    track_event(session, user_id=user_id, event="course_purchased", properties={"courseId": course_id, "price": price})
    log_audit(
        session,
        user_id=user_id,
        action="course_purchased",
        resource="payment",
        details={"paymentId": payment_id, "courseId": course_id, "price": price},
    )


def _answered(purchase: Purchase) -> Answer:
    assert purchase.status is not None
    assert purchase.answer is not None
    return Answer(purchase.status, purchase.answer)


def _refused(purchase: Purchase, state: State, problem: Problem) -> Answer:
    purchase.state, purchase.status, purchase.answer = state.value, int(problem.status), problem.body
    return _answered(purchase)


def _problem_enrolled() -> Problem:
    return Problem(
        HTTPStatus.CONFLICT, "already-enrolled", "You have this course already", "nothing was charged for this request"
    )


def _problem_declined(reason: str) -> Problem:
    return Problem(
        HTTPStatus.PAYMENT_REQUIRED,
        "payment-declined",
        "The payment was declined",
        f"the provider says: {reason}; nothing was bought. Try another method, with a new Idempotency-Key",
    )


def _problem_abandoned() -> Problem:
    return Problem(
        HTTPStatus.CONFLICT,
        "payment-abandoned",
        "The purchase was given up",
        "it was interrupted, and nothing was charged; buy again with a new Idempotency-Key",
    )
