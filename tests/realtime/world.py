"""A small world to talk in: real-time servers and a relay in processes of their own, and tabs that connect to them."""

import asyncio
import json
import os
import re
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from itertools import count
from pathlib import Path
from typing import Any, Self

import psycopg
import socketio

from app_integration.tokens import LIFETIME, make_token
from relay.local.process import Process, last_lines

SECRET = "a secret that is known to these tests only, and long enough for any algorithm"
SECONDS = 60.0
"""For anything to happen; a busy machine needs more than one would think."""

START_SECONDS = 120.0
"""For a server to start: it imports for seconds, where it has a processor of its own."""

Event = tuple[str, Any]

OFFER = {"type": "offer", "sdp": "v=0 offer"}
ANSWER = {"type": "answer", "sdp": "v=0 answer"}

_numbers = count(1)


class Server:
    """One `python -m app_integration realtime`.

    Args:
        folder: for its log.
        environment: its settings.
    """

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self.name = f"server-{next(_numbers)}"
        self._log = folder / f"{self.name}.log"
        command = [sys.executable, "-m", "app_integration", "realtime", "--port", "0"]
        self.process = Process(
            command, self._log, directory=folder, environment={**environment, "REALTIME_NAME": self.name}
        )

    @property
    def log(self) -> str:
        """All that it has said."""
        return self._log.read_text()

    def wait_for_count(self, words: str, times: int, seconds: float = SECONDS) -> None:
        """Wait until it has said something so many times."""
        deadline = time.monotonic() + seconds
        while self.log.count(words) < times:
            assert self.process.running, last_lines(self._log, 40)
            assert time.monotonic() < deadline, f"{words!r} is not in the log of {self.name}:\n{self.log[-3000:]}"
            time.sleep(0.02)

    @property
    def url(self) -> str:
        """Where it is, once it listens."""
        self.wait_for_count("is served at", 1, START_SECONDS)
        found = re.search(r"is served at (\S+)", self.log)
        assert found
        return found[1]


class World:
    """What the servers share.

    Args:
        database_url: one with the outbox and the schema `realtime`.
        brokers: a Kafka.
        topic: in Kafka, for these servers alone.
        folder: for logs.
    """

    def __init__(self, database_url: str, brokers: str, topic: str, folder: Path) -> None:
        self.database_url = database_url
        self.topic = topic
        self.brokers = brokers
        self._folder = folder
        self._names = count(1)
        self._servers: list[Server] = []
        self._relay: Process | None = None
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(("RELAY_", "REALTIME_"))}
        self._environment = {
            **inherited,
            "DATABASE_URL": database_url,
            "KAFKA_BROKERS": brokers,
            "JWT_SECRET": SECRET,
            "PYTHONPATH": str(Path(__file__).parents[2]),
        }

    def server(self, **settings: str) -> Server:
        """Start a server and wait until it listens. Not where clients are served: they would miss their pings."""
        started = self.start_server(**settings)
        assert started.url
        return started

    def start_server(self, **settings: str) -> Server:
        """Start a server; do not wait for it."""
        brisk = {"REALTIME_TOPIC": self.topic, "REALTIME_HEARTBEAT_SECONDS": "0.3", "REALTIME_DEAD_AFTER_SECONDS": "4"}
        self._servers.append(Server(self._folder, {**self._environment, **brisk, **settings}))
        return self._servers[-1]

    def relay(self) -> None:
        """Start the relay."""
        topics = json.dumps({"realtime-events": {"name": self.topic, "on_failure": "skip"}})
        self._relay = Process(
            [sys.executable, "-m", "relay", "run", "--wait", "60"],
            self._folder / "relay.log",
            directory=self._folder,
            environment={**self._environment, "RELAY_TOPICS": topics},
        )

    def pause_relay(self, paused: bool) -> None:
        """Let Kafka fall behind the database, or catch up."""
        assert self._relay
        self._relay.send(signal.SIGSTOP if paused else signal.SIGCONT)

    def user(self) -> str:
        """Name a user whom no other test has."""
        return f"user-{next(self._names)}"

    def course(self, *members: str) -> str:
        """Name a room that no other test has, and enrol users."""
        room = f"course:{next(self._names)}"
        for member in members:
            self.execute("select realtime.admit(%s, %s)", room, member)
        return room

    def execute(self, statement: str, *values: object) -> list[tuple[Any, ...]]:
        """Run a statement in a transaction of its own."""
        with psycopg.connect(self.database_url) as connection:
            cursor = connection.execute(statement.encode(), values)
            return cursor.fetchall() if cursor.description else []

    def close(self) -> None:
        """End everything."""
        for server in self._servers:
            server.process.end()
        if self._relay:
            self._relay.end()


class Tab:
    """A browser's tab: a Socket.IO client that notes all that it is told.

    Args:
        server: where it connects.
        token: what it presents.
    """

    def __init__(self, server: Server, token: str | None) -> None:
        self.events: list[Event] = []
        self._url = server.url
        self._token = token
        self._changed = asyncio.Condition()
        self.client = socketio.AsyncClient(reconnection=False)
        self.client.on("*", self._note)
        self.client.on("disconnect", self._gone)
        self.client.on("connect_error", self._refused)

    async def open(self) -> Self:
        """Connect.

        Raises:
            ConnectionError: the server refuses; `events` has why.
        """
        auth = None if self._token is None else {"token": self._token}
        await self.client.connect(self._url, auth=auth, transports=["websocket"], wait_timeout=SECONDS)
        return self

    async def ask(self, event: str, **asked: Any) -> dict[str, Any]:
        """Ask for something and expect to get it."""
        answer = await self.try_(event, asked)
        assert answer["ok"], answer
        return answer

    async def refused(self, event: str, **asked: Any) -> dict[str, Any]:
        """Ask for something and expect to be refused; return the error."""
        answer = await self.try_(event, asked)
        assert not answer["ok"], answer
        error: dict[str, Any] = answer["error"]
        return error

    async def try_(self, event: str, asked: object) -> dict[str, Any]:
        """Ask for something, sensible or not."""
        answer: dict[str, Any] = await self.client.call(event, asked, timeout=SECONDS)
        return answer

    async def told(self, event: str, **expected: Any) -> dict[str, Any]:
        """Wait until it is told something with these values, now or before."""

        def there() -> Any:
            return next((b for e, b in self.events if e == event and expected.items() <= _flat(b).items()), None)

        await self.until(lambda: there() is not None, f"{event} {expected}")
        found: dict[str, Any] = there()
        return found

    async def until(self, holds: Callable[[], bool], what: str) -> None:
        """Wait until something holds of what it was told."""
        try:
            async with asyncio.timeout(SECONDS), self._changed:
                await self._changed.wait_for(holds)
        except TimeoutError:
            raise AssertionError(f"never: {what}; was told {self.events[-20:]}") from None

    def of(self, event: str) -> list[Any]:
        """All that it was told by events of a name, in order."""
        return [body for name, body in self.events if name == event]

    async def _note(self, event: str, body: Any = None) -> None:
        async with self._changed:
            self.events.append((event, body))
            self._changed.notify_all()

    async def _gone(self, reason: str) -> None:
        await self._note("gone", reason)

    async def _refused(self, why: Any) -> None:
        await self._note("refused", why)


def _flat(body: Any) -> dict[str, Any]:
    return body if isinstance(body, dict) else {}


@asynccontextmanager
async def tab(server: Server, user: str, lifetime: timedelta = LIFETIME) -> AsyncIterator[Tab]:
    """Connect a user for as long as the block lasts."""
    opened = Tab(server, make_token(user, SECRET, lifetime=lifetime))
    try:
        yield await opened.open()
    finally:
        await opened.client.shutdown()


async def ring(caller: Tab, callee: Tab, to: str) -> str:
    """Call somebody and wait until it rings there."""
    invited = await caller.ask("call:invite", to=to, media="voice", offer=OFFER)
    call_id: str = invited["callId"]
    await callee.told("call:incoming", callId=call_id)
    return call_id
