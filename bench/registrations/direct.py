"""The application to compare with: a registration that commits the user and then sends the mail itself. No outbox."""

import asyncio
import os
import sys
import threading
from datetime import UTC, datetime
from http import HTTPStatus
from uuid import uuid4

import uvicorn
from fastapi import FastAPI

from app_integration.contracts import Email
from app_integration.example.database import connect, sessions_of
from app_integration.example.passwords import hashed
from app_integration.example.registration import NewUser
from app_integration.example.tables import User
from app_integration.workers.mail.rendering import Renderer
from app_integration.workers.mail.smtp import Mailer
from app_integration.workers.settings import SmtpSettings

app = FastAPI(docs_url=None, redoc_url=None)
settings = SmtpSettings.load(os.environ)
sessions = sessions_of(connect(os.environ["DATABASE_URL"]))
renderer = Renderer()
own = threading.local()


@app.post("/api/auth/register", status_code=HTTPStatus.CREATED)
async def register(new: NewUser) -> dict[str, str]:
    """Register, and send the mail."""
    password_hash = await hashed(new.password.get_secret_value())
    user = User(email=new.email, name=new.name, user_type=new.user_type, password_hash=password_hash)
    async with sessions.begin() as session:
        session.add(user)
    await asyncio.to_thread(_send, new)
    return {"userId": str(user.id)}


@app.get("/api/health")
async def health() -> dict[str, str]:
    """Say that it is there."""
    return {"status": "ok"}


def _send(new: NewUser) -> None:
    # A connection that is kept, as the worker does.
    mailer: Mailer | None = getattr(own, "mailer", None)
    if mailer is None:
        mailer = own.mailer = Mailer(settings)
    mail = Email(to=new.email, subject="Welcome to Edu Matrix!", template="welcome", data={"name": new.name})
    mailer.send(
        new.email, renderer.compose(mail, sender=settings.sender, identity=str(uuid4()), when=datetime.now(UTC))
    )


if __name__ == "__main__":
    uvicorn.run(app, port=int(sys.argv[1]), log_level="warning", access_log=False)
