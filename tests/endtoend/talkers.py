"""Those who chat while servers are killed: some say something again and again, some only listen.

Who says something says it under one `clientId` until it is acknowledged, on whichever server answers. Who listens comes
back with the last number that it has. All is noted that was acknowledged and heard.
"""

import asyncio
import random
import threading
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from itertools import count
from typing import Any
from uuid import uuid4

import aiohttp
import socketio
from socketio.exceptions import SocketIOError

from app_integration.tokens import make_token
from tests.endtoend.notes import Notes

ROOM = "course:end-to-end"
ANSWER_SECONDS = 5.0
PAUSE = 0.3
"""Seconds between two messages of one, and between two attempts to connect."""


class Talking:
    """All who chat, on an event loop of their own.

    Args:
        servers: the addresses of the real-time servers.
        secret: signs tokens.
        notes: of what was acknowledged and heard.
        seed: decides who connects where.
    """

    def __init__(self, servers: Sequence[str], secret: str, notes: Notes, seed: int) -> None:
        self._servers = servers
        self._secret = secret
        self._notes = notes
        self._dice = random.Random(f"{seed}-talk")
        self.silent = threading.Event()
        """Set, nobody says anything new."""
        self.over = threading.Event()
        """Set, those who listen leave too."""
        self.heard: dict[str, set[int]] = {}
        self.speaking: set[str] = set()
        """Who has something to say, or does not know yet whether it was heard."""

    def run(self, speakers: Sequence[str], listeners: Sequence[str]) -> None:
        """Chat until it is over."""
        asyncio.run(self._all(speakers, listeners))

    async def _all(self, speakers: Sequence[str], listeners: Sequence[str]) -> None:
        self.speaking |= set(speakers)
        async with asyncio.TaskGroup() as tasks:
            for who in speakers:
                tasks.create_task(self._speak(who))
            for place, who in enumerate(listeners):
                tasks.create_task(self._listen(who, self._servers[place % len(self._servers)]))

    async def _speak(self, who: str) -> None:
        said: str | None = None
        while said is not None or not self.silent.is_set():
            try:
                async with self._connected(who, self._dice.choice(self._servers)) as client:
                    await _ask(client, "join", room=ROOM)
                    while said is not None or not self.silent.is_set():
                        said = said or uuid4().hex
                        answer = await client.call(
                            "chat:send", {"room": ROOM, "text": said, "clientId": said}, timeout=ANSWER_SECONDS
                        )
                        if answer["ok"]:
                            self._notes.note("said", client_id=said)
                            said = None
                        await asyncio.sleep(PAUSE)
            except (SocketIOError, TimeoutError, Lost):
                await asyncio.sleep(PAUSE)
        self.speaking.discard(who)

    async def _listen(self, who: str, first: str) -> None:
        heard: set[int] = set()
        self.heard[who] = heard
        for connection in count(1):
            server = first if connection == 1 else self._dice.choice(self._servers)
            try:
                async with self._connected(who, server, Hearing(self._notes, who, connection, heard)) as client:
                    await self._catch_up(client, who, connection)
                    while client.connected and not self.over.is_set():  # noqa: ASYNC110 - set by another thread
                        await asyncio.sleep(0.1)
            except (SocketIOError, TimeoutError, Lost):
                await asyncio.sleep(PAUSE)
            if self.over.is_set():
                return

    async def _catch_up(self, client: socketio.AsyncClient, who: str, connection: int) -> None:
        hearing, heard = Hearing(self._notes, who, connection, self.heard[who]), self.heard[who]
        answer = (await _ask(client, "join", room=ROOM, after=_last(heard)))["chat"]
        until = answer["sequence"]
        hearing.all(answer["entries"])
        while answer["more"]:
            asked = {"room": ROOM, "stream": "chat", "after": answer["entries"][-1]["sequence"], "limit": 200}
            answer = await _ask(client, "history", **asked)
            # What was said since we joined is told alive.
            hearing.all([entry for entry in answer["entries"] if entry["sequence"] <= until])

    @asynccontextmanager
    async def _connected(
        self, who: str, server: str, hearing: "Hearing | None" = None
    ) -> AsyncIterator[socketio.AsyncClient]:
        # A session of ours: one whose connection is refused the client would leave open.
        async with aiohttp.ClientSession() as session:
            client = socketio.AsyncClient(reconnection=False, http_session=session)
            if hearing is not None:
                client.on("chat", hearing.one)
            auth = {"token": make_token(who, self._secret)}
            try:
                await client.connect(server, auth=auth, transports=["websocket"], wait_timeout=ANSWER_SECONDS)
                yield client
            finally:
                await client.shutdown()


class Hearing:
    """Notes what one hears on one connection."""

    def __init__(self, notes: Notes, who: str, connection: int, heard: set[int]) -> None:
        self._notes = notes
        self._said = {"who": who, "connection": connection}
        self._heard = heard

    async def one(self, entry: dict[str, Any]) -> None:
        """Hear something."""
        self._notes.note("heard", **self._said, sequence=entry["sequence"], live=True)
        self._heard.add(entry["sequence"])

    def all(self, entries: Sequence[dict[str, Any]]) -> None:
        """Read what was said before."""
        for entry in entries:
            self._notes.note("heard", **self._said, sequence=entry["sequence"], live=False)
            self._heard.add(entry["sequence"])


class Lost(Exception):
    """The server does not give what was asked for now."""


async def _ask(client: socketio.AsyncClient, event: str, **asked: Any) -> dict[str, Any]:
    answer: dict[str, Any] = await client.call(event, asked, timeout=ANSWER_SECONDS)
    if not answer["ok"]:
        raise Lost(answer["error"]["code"])
    return answer


def _last(heard: set[int]) -> int:
    """Return the last number before the first gap."""
    return next(number for number in count() if number + 1 not in heard)
