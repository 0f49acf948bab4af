"""The application on the network: routes, each a few lines around one transaction.

`create_app` puts it together; who serves it is `serve.py`. JSON in camelCase, errors as problems (RFC 9457).
"""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, FastAPI
from fastapi.responses import JSONResponse
from pydantic import Field, SecretStr
from sqlalchemy import func, select
from sqlalchemy.exc import IntegrityError

from app_integration.contracts import Contract, EmailAddress, Line, Money, log_audit
from app_integration.example import page, problems, purchase
from app_integration.example.database import connect, sessions_of
from app_integration.example.limits import BodyLimit
from app_integration.example.passwords import NOBODY, fits, hashed
from app_integration.example.problems import Problem, unauthorized
from app_integration.example.registration import EmailTaken, NewUser, register
from app_integration.example.sandbox import METHODS, Sandbox
from app_integration.example.settings import Settings
from app_integration.example.tables import Course, Enrolment, User
from app_integration.example.wiring import Caller, IdempotencyKey, Wired, Wiring
from app_integration.tokens import LIFETIME, make_token

_log = logging.getLogger("edu_matrix")

RECONCILE_SECONDS = 10.0
"""Between two looks for purchases that were left behind."""

router = APIRouter(prefix="/api")


class Credentials(Contract):
    """What somebody gives who logs in."""

    email: EmailAddress
    password: SecretStr = Field(max_length=200)


class NewCourse(Contract):
    """What a teacher gives who offers a course."""

    name: Line
    price: Money


class Wanted(Contract):
    """What somebody gives who buys."""

    course_id: UUID
    payment_method: Annotated[str, Field(pattern=r"^[A-Za-z0-9_]{1,100}$")] = "card_ok"


@router.post("/auth/register", status_code=HTTPStatus.CREATED)
async def register_user(new: NewUser, wired: Wired) -> dict[str, Any]:
    """Register. Account, welcome mail, event, count and record come together or not at all."""
    password_hash = await hashed(new.password.get_secret_value())
    try:
        async with wired.sessions.begin() as session:
            user = await register(session, new, password_hash)
    except EmailTaken:
        raise Problem(
            HTTPStatus.CONFLICT, "email-taken", "There is an account with this address", "log in, or use another"
        ) from None
    return _user(user)


@router.post("/auth/login")
async def login(given: Credentials, wired: Wired) -> dict[str, Any]:
    """Log in; the token goes into the header `Authorization: Bearer …`."""
    async with wired.sessions() as session:
        user = await session.scalar(select(User).where(func.lower(User.email) == given.email.lower()))
    if not await fits(given.password.get_secret_value(), user.password_hash if user else NOBODY) or user is None:
        raise unauthorized("the address or the password is wrong")
    token = make_token(str(user.id), wired.jwt_secret, name=user.name)
    return {"accessToken": token, "tokenType": "Bearer", "expiresIn": int(LIFETIME.total_seconds())}


@router.get("/me")
async def me(caller: Caller, wired: Wired) -> dict[str, Any]:
    """Tell who the caller is, and what they are enrolled in."""
    async with wired.sessions() as session:
        user = await session.get(User, caller)
        if user is None:
            raise unauthorized("there is no such account")
        seats = select(Enrolment.course_id, Enrolment.since).where(Enrolment.user_id == caller)
        rows = (await session.execute(seats.order_by(Enrolment.since))).all()
    enrolments = [{"courseId": str(row.course_id), "enrollmentDate": row.since.isoformat()} for row in rows]
    return {**_user(user), "enrollments": enrolments}


@router.get("/courses")
async def courses(wired: Wired) -> list[dict[str, Any]]:
    """List what can be learnt."""
    async with wired.sessions() as session:
        return [_course(course) for course in await session.scalars(select(Course).order_by(Course.name).limit(200))]


@router.post("/courses", status_code=HTTPStatus.CREATED)
async def offer_course(new: NewCourse, caller: Caller, wired: Wired) -> dict[str, Any]:
    """Offer a course, as a teacher."""
    course = Course(name=new.name, amount=new.price.amount, currency=new.price.currency, teacher_id=caller)
    try:
        async with wired.sessions.begin() as session:
            teacher = await session.get(User, caller, with_for_update={"key_share": True})
            if teacher is None or teacher.user_type != "teacher":
                raise Problem(HTTPStatus.FORBIDDEN, "not-a-teacher", "Only teachers offer courses", "you are not one")
            session.add(course)
            await session.flush()
            details = {"courseId": str(course.id), "price": course.price}
            log_audit(session, user_id=str(caller), action="course_offered", resource="course", details=details)
    except IntegrityError:
        raise Problem(HTTPStatus.CONFLICT, "name-taken", "There is such a course", "choose another name") from None
    return _course(course)


@router.post("/courses/purchase", status_code=HTTPStatus.CREATED)
async def buy_course(wanted: Wanted, caller: Caller, key: IdempotencyKey, wired: Wired) -> JSONResponse:
    """Buy a course. Payment, enrolment, mail, events, count and record come together or not at all."""
    order = purchase.Order(caller, wanted.course_id, wanted.payment_method, key)
    answer = await purchase.buy(wired.sessions, wired.provider, order)
    return problems.answer(answer.status, answer.body)


@router.get("/payment-methods")
async def payment_methods() -> dict[str, str]:
    """Tell what the sandbox does with which method."""
    return METHODS


@router.get("/health")
async def health(wired: Wired) -> dict[str, str]:
    """Say that the application and its database answer."""
    async with wired.engine.connect() as connection:
        await connection.execute(select(1))
    return {"status": "ok"}


def _user(user: User) -> dict[str, Any]:
    return {"userId": str(user.id), "email": user.email, "name": user.name, "userType": user.user_type}


def _course(course: Course) -> dict[str, Any]:
    price = course.price
    return {
        "courseId": str(course.id),
        "name": course.name,
        "price": {"amount": str(price.amount), "currency": price.currency},
    }


def create_app(settings: Settings) -> FastAPI:
    """Put the application together; it connects when it is first asked."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        # The provider's own connections: what it commits is not ours to take back.
        engine, other = connect(settings.database_url, pool_size=settings.pool_size), connect(settings.database_url)
        wired = Wiring(engine, sessions_of(engine), Sandbox(other), settings.jwt_secret)
        app.state.wiring = wired
        reconciling = asyncio.create_task(_keep_reconciling(wired))
        yield
        reconciling.cancel()
        await asyncio.gather(reconciling, return_exceptions=True)
        await engine.dispose()
        await other.dispose()

    # No interactive documentation: its page loads scripts from elsewhere.
    app = FastAPI(title="Edu Matrix", lifespan=lifespan, docs_url=None, redoc_url=None)
    problems.install(app)
    app.add_middleware(BodyLimit)
    app.include_router(router)
    if settings.page:
        app.include_router(page.router)
    return app


async def _keep_reconciling(wired: Wiring) -> None:
    while True:
        try:
            settled = await purchase.reconcile(wired.sessions, wired.provider)
            if settled:
                _log.info("settled %d purchase(s) that had been left pending", settled)
        except purchase.AWAY as error:
            _log.warning("purchases that are left pending wait on: %s", str(error).partition("\n")[0])
        except Exception:  # noqa: BLE001 - logged, and looked at anew
            # Whatever it was, the next look may not meet it; without one, nothing is ever settled again.
            _log.exception("purchases that are left pending were not looked at")
        await asyncio.sleep(RECONCILE_SECONDS)
