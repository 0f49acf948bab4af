"""What reaches Socket.IO is well-formed: a frame that is none ends its connection, with a line in the log.

Without this a frame of nonsense would be an exception inside Engine.IO: a traceback each, and a connection that is
forgotten but not closed, so that its user stayed online until a timeout. Binary frames are refused: nothing here takes
any. Who does not present a good token in time is disconnected too. And who takes nothing of what is written to it keeps
none of it in memory for long. Pure but for `Gate`, which wraps the application (ASGI, section WebSocket).
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from engineio import packet as engine
from socketio import packet as frames

log = logging.getLogger("app_integration.realtime")

Event = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Event]]
Send = Callable[[Event], Awaitable[None]]
Application = Callable[[Event, Receive, Send], Awaitable[None]]

ALLOWED = frozenset({engine.PING, engine.PONG, engine.MESSAGE, engine.UPGRADE, engine.NOOP, engine.CLOSE})
MESSAGES = frozenset({frames.CONNECT, frames.DISCONNECT, frames.EVENT, frames.ACK})
LONGEST_OTHER = 16
"""Characters of a packet that is no message; the longest is `2probe`."""

ADMITTED = "app_integration.realtime.admitted"
"""Set in the connection's scope once its token was found good."""

PATIENCE = 10.0
"""Seconds to connect with a good token; who has none keeps no connection open."""

SLOWEST = 40.0
"""Seconds for one frame to be taken. Engine.IO gives up a client that answers no ping for as long, but not the frames
that it was writing to it: they would stay as long as the client's machine keeps the connection."""

OWN = frozenset({"connect", "disconnect"})
"""Names of events that Socket.IO makes itself; from a client they would pass for it."""


def problem(frame: str | bytes | None, largest: int) -> str | None:
    """Say what is wrong with a frame; None when nothing is.

    Args:
        frame: as the client sent it.
        largest: bytes that it may have.
    """
    if not isinstance(frame, str):
        return "it is binary, and only text is taken"
    # A character has up to four bytes; only what could be too much is counted.
    if len(frame) > largest or (len(frame) * 4 > largest and len(frame.encode("utf-8", "replace")) > largest):
        return f"it is larger than {largest} bytes"
    if not frame or not frame[0].isascii() or not frame[0].isdigit() or int(frame[0]) not in ALLOWED:
        return "it is no Engine.IO packet"
    if int(frame[0]) == engine.MESSAGE:
        return _problem_of_message(frame[1:])
    return "it is no Engine.IO packet" if len(frame) > LONGEST_OTHER else None


def _problem_of_message(text: str) -> str | None:
    try:
        packet = frames.Packet(encoded_packet=text or "x")
    except (ValueError, RecursionError, IndexError, TypeError):
        return "it is no Socket.IO packet"
    if packet.packet_type not in MESSAGES or packet.attachment_count:
        return "it is a Socket.IO packet of a kind that is not taken"
    if packet.namespace not in (None, "/"):
        return "it is for a namespace, and there is none"
    if packet.packet_type in (frames.EVENT, frames.ACK):
        return _problem_of_event(packet.packet_type, packet.data)
    return None


def _problem_of_event(kind: int, data: Any) -> str | None:
    if not isinstance(data, list):
        return "its data is no array"
    if kind == frames.ACK:
        return "it answers what was not asked"
    if not data or not isinstance(data[0], str):
        return "its event has no name"
    return "its event has a name of Socket.IO's own" if data[0] in OWN else None


class Gate:
    """An ASGI application in front of another, which lets only well-formed frames of WebSockets in.

    Args:
        inner: the application.
        largest: bytes that a frame may have.
        slowest: seconds for a frame to the client to be taken.
    """

    def __init__(self, inner: Application, largest: int, slowest: float = SLOWEST) -> None:
        self._inner = inner
        self._largest = largest
        self._slowest = slowest

    async def __call__(self, scope: Event, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] != "websocket":
            await self._inner(scope, receive, send)
            return

        deadline = asyncio.get_running_loop().time() + PATIENCE

        async def checked() -> Event:
            try:
                async with asyncio.timeout_at(None if ADMITTED in scope else deadline):
                    event = await receive()
            except TimeoutError:
                return {"type": "websocket.disconnect", "code": 1008, "reason": "no good token in time"}
            if event["type"] != "websocket.receive":
                return event
            text = event.get("text")
            wrong = problem(text if text is not None else event.get("bytes"), self._largest)
            if wrong is None:
                return event
            log.warning("a connection from %s sent a frame that is refused, and is ended: %s", _peer(scope), wrong)
            return {"type": "websocket.disconnect", "code": 1008, "reason": wrong}

        await self._inner(scope, checked, _in_time(send, self._slowest))


def _in_time(send: Send, seconds: float) -> Send:
    """Send, and fail where that takes too long, and from then on at once."""
    stuck = False

    async def sent(event: Event) -> None:
        nonlocal stuck
        if stuck:
            raise TimeoutError
        try:
            async with asyncio.timeout(seconds):
                await send(event)
        except TimeoutError:
            stuck = True
            raise

    return sent


def _peer(scope: Event) -> str:
    peer = scope.get("client")
    return f"{peer[0]}:{peer[1]}" if peer else "somewhere"
