"""Registration, as in the guide: a user, and what is told of them, in one transaction, which is the caller's."""

from typing import Literal

from psycopg.errors import UniqueViolation
from pydantic import Field, SecretStr
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from app_integration.contracts import (
    Contract,
    EmailAddress,
    Line,
    log_audit,
    publish_business_event,
    queue_email,
    track_event,
)
from app_integration.example.tables import User


class NewUser(Contract):
    """What somebody gives who registers."""

    email: EmailAddress
    name: Line
    password: SecretStr = Field(min_length=12, max_length=200)
    user_type: Literal["student", "teacher"] = "student"


class EmailTaken(Exception):
    """There is an account with this address."""


async def register(session: AsyncSession, new: NewUser, password_hash: str) -> User:
    """Register a user.

    Args:
        session: the caller's; nothing is committed here.
        new: who.
        password_hash: of the password, made before the transaction, for it takes its time.

    Raises:
        EmailTaken: somebody else was first, perhaps at this very moment.
    """
    user = User(email=new.email, name=new.name, user_type=new.user_type, password_hash=password_hash)
    session.add(user)
    try:
        await session.flush()
    except IntegrityError as error:
        if isinstance(error.orig, UniqueViolation) and error.orig.diag.constraint_name == "users_email":
            raise EmailTaken from None
        raise
    user_id = str(user.id)
    publish_business_event(
        session, "user_registered", {"userId": user_id, "email": user.email, "userType": user.user_type}
    )
    queue_email(
        session,
        to=user.email,
        subject="Welcome to Edu Matrix!",
        template="welcome",
        data={"name": user.name},
        user_id=user_id,
    )
    track_event(session, user_id=user_id, event="user_registered", properties={"userType": user.user_type})
    log_audit(session, user_id=user_id, action="user_registered", resource="user", details={"email": user.email})
    return user
