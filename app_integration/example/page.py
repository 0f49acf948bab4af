"""The page `/api/kafka-example`: its files, what it shows, and the few things that only it can do.

Everything else on it is the application's own API, called by the browser. Nothing is loaded from elsewhere and nothing
runs that is not in `static/page.js`: the Content-Security-Policy sees to both. Requests that change something must be
JSON and from the page itself, so that no other site can send them through somebody's browser.
"""

import asyncio
import base64
import hashlib
import json
import os
import time
from http import HTTPStatus
from pathlib import Path
from typing import Annotated, Any, NoReturn
from uuid import UUID

from fastapi import APIRouter, Depends, Header, Request, Response
from pydantic import Field
from sqlalchemy.exc import DBAPIError

from app_integration import Outbox, Topic
from app_integration.contracts import KAFKA_TOPICS, Contract, to_message
from app_integration.example import journey
from app_integration.example.events import PortraitUploaded
from app_integration.example.passwords import hashed
from app_integration.example.problems import Problem, unauthorized
from app_integration.example.registration import NewUser, register
from app_integration.example.tables import User
from app_integration.example.wiring import Caller, Wired, Wiring

FOLDER = Path(__file__).with_name("static")

FILES = {"": "text/html", "/page.css": "text/css", "/page.js": "text/javascript", "/icon.svg": "image/svg+xml"}

HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-cache",
}

FRESH_SECONDS = 0.3
"""How long what was looked up serves all who ask: many open pages cost the database what one does."""

WRITTEN_HERE = """
-- written_here: by the transaction that is open
select id from outbox.message where xid = pg_current_xact_id()
"""

PORTRAIT_BYTES = 1_200_000
"""Of an image, in base64 half as much again: above Kafka's default of 1 MiB for a message."""


def _own(sec_fetch_site: Annotated[str, Header()] = "same-origin", content_type: Annotated[str, Header()] = "") -> None:
    if sec_fetch_site not in {"same-origin", "none"} or not content_type.startswith("application/json"):
        raise Problem(
            HTTPStatus.FORBIDDEN, "not-from-the-page", "Only the page itself may do this", "send JSON from the page"
        )


router = APIRouter(prefix="/api/kafka-example", include_in_schema=False)
changing = [Depends(_own)]


class Chosen(Contract):
    """Which held messages are meant, and why."""

    ids: list[UUID] = Field(min_length=1, max_length=journey.MOST_HELD)
    why: str = Field(default="from the page /api/kafka-example", min_length=1, max_length=200)


def _serve(name: str, media_type: str) -> None:
    body = (FOLDER / (name.removeprefix("/") or "page.html")).read_bytes()
    tag = f'"{hashlib.sha256(body).hexdigest()[:16]}"'

    async def file(if_none_match: Annotated[str | None, Header()] = None) -> Response:
        headers = {**HEADERS, "ETag": tag}
        if if_none_match == tag:
            return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
        return Response(body, media_type=media_type, headers=headers)

    router.add_api_route(name, file, methods=["GET"])


for _name, _media_type in FILES.items():
    _serve(_name, _media_type)


class Look:
    """What the page shows, looked up at most every `FRESH_SECONDS` for all who ask."""

    def __init__(self) -> None:
        self._turn = asyncio.Lock()
        self._until = 0.0
        self._body = b""
        self._tag = ""

    async def now(self, wired: Wiring) -> tuple[bytes, str]:
        """Give the JSON and its tag."""
        async with self._turn:
            if time.monotonic() >= self._until:
                async with wired.engine.connect() as connection:
                    shown = await journey.look(connection)
                self._body = json.dumps(shown, ensure_ascii=False, separators=(",", ":")).encode()
                self._tag = f'"{hashlib.sha256(self._body).hexdigest()[:16]}"'
                self._until = time.monotonic() + FRESH_SECONDS
            return self._body, self._tag


@router.get("/state")
async def state(request: Request, wired: Wired, if_none_match: Annotated[str | None, Header()] = None) -> Response:
    """Give the ways of the newest messages, and what is held; nothing, where that has not changed."""
    look: Look | None = getattr(request.app.state, "look", None)
    if look is None:
        look = request.app.state.look = Look()
    body, tag = await look.now(wired)
    headers = {**HEADERS, "ETag": tag}
    if if_none_match == tag:
        return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
    return Response(body, media_type="application/json", headers=headers)


class _Broken(Exception):
    """What goes wrong at the last moment."""


@router.post("/rollback", dependencies=changing)
async def roll_back(new: NewUser, wired: Wired) -> dict[str, Any]:
    """Register somebody, write everything to the database, and then fail: what becomes of it?"""
    password_hash = await hashed(new.password.get_secret_value())
    written: list[str] = []
    try:
        await _register_and_fail(wired, new, password_hash, written)
    except _Broken:
        return {"messages": written}


async def _register_and_fail(wired: Wiring, new: NewUser, password_hash: str, written: list[str]) -> NoReturn:
    async with wired.sessions.begin() as session:
        await register(session, new, password_hash)
        await session.begin_nested()  # before a savepoint the outbox writes what it was given
        connection = await session.connection()
        written += [str(row.id) for row in await connection.exec_driver_sql(WRITTEN_HERE)]
        raise _Broken


@router.post("/portrait", status_code=HTTPStatus.CREATED, dependencies=changing)
async def upload_portrait(caller: Caller, wired: Wired) -> dict[str, Any]:
    """Announce a portrait with the image in it, which Kafka will refuse for its size."""
    # What an application does that knows its topic's limit wrongly; the right one would refuse it here.
    outbox = Outbox({KAFKA_TOPICS.BUSINESS_EVENTS.value: Topic(max_message_bytes=8 * 2**20)})
    image = base64.b64encode(os.urandom(PORTRAIT_BYTES)).decode()
    async with wired.sessions.begin() as session:
        if await session.get(User, caller, with_for_update={"key_share": True}) is None:
            raise unauthorized("there is no such account")
        (message,) = outbox.enqueue_many(session, [to_message(PortraitUploaded(user_id=str(caller), image=image))])
    return {"messages": [str(message)]}


@router.post("/replay", dependencies=changing)
async def replay(chosen: Chosen, wired: Wired) -> dict[str, int]:
    """Have held messages sent again, at once."""
    return await _operate(wired, journey.REPLAY, chosen)


@router.post("/discard", dependencies=changing)
async def discard(chosen: Chosen, wired: Wired) -> dict[str, int]:
    """Give held messages up; what waited behind them goes on."""
    return await _operate(wired, journey.DISCARD, chosen)


async def _operate(wired: Wiring, act: Any, chosen: Chosen) -> dict[str, int]:
    try:
        async with wired.engine.begin() as connection:
            done = await connection.execute(act, {"why": chosen.why, "ids": chosen.ids})
            return {"messages": done.scalar_one()}
    except DBAPIError as error:
        # The function says in words what is in the way: it was settled meanwhile, it waits behind another.
        if getattr(error.orig, "sqlstate", None) != "55000":
            raise
        detail = str(error.orig).partition("\n")[0]
        raise Problem(HTTPStatus.CONFLICT, "not-held", "That cannot be done now", detail) from None
