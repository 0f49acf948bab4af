"""The Socket.IO server: which event of a client goes where, and that each is answered, whatever happens.

Law: every event is counted against the rate, checked against its model, and answered `{"ok": true, …}` or
`{"ok": false, "error": {…}}`; nothing that a client sends is an exception here. One client's events are taken one after
the other, so that what it says twice is stored in that order, and a slow answer is waited for by nobody else.
"""

import logging
from collections.abc import Awaitable, Callable
from typing import Any

import psycopg
import socketio
from psycopg_pool import PoolTimeout

from app_integration.realtime import requests
from app_integration.realtime.attendance import ServerEnded
from app_integration.realtime.clients import Client
from app_integration.realtime.desk import Desk
from app_integration.realtime.door import Door
from app_integration.realtime.gate import ADMITTED
from app_integration.realtime.place import Place
from app_integration.realtime.refusal import Refusal
from app_integration.realtime.requests import parse
from app_integration.realtime.rooms import Rooms
from app_integration.realtime.settings import Settings

log = logging.getLogger("app_integration.realtime")

Action = Callable[[Client, Any], Awaitable[dict[str, Any]]]
Answer = dict[str, Any]

PING_INTERVAL, PING_TIMEOUT = 20, 20
"""Seconds: a client that is cut off is gone after both at the latest."""


def make_server(settings: Settings) -> socketio.AsyncServer:
    """Make the Socket.IO server, without anybody to answer."""
    # What Engine.IO would log are a client's mistakes, with a traceback each.
    silent = logging.getLogger("app_integration.realtime.engine")
    silent.setLevel(logging.CRITICAL)
    return socketio.AsyncServer(
        async_mode="asgi",
        async_handlers=False,
        # Of a browser only pages of these origins, or of the server's own, may connect.
        cors_allowed_origins=list(settings.origins) or None,
        transports=list(settings.transports),
        max_http_buffer_size=settings.limits.frame_bytes,
        ping_interval=PING_INTERVAL,
        ping_timeout=PING_TIMEOUT,
        logger=silent,
        engineio_logger=silent,
    )


class Answers:
    """Answers the events of clients.

    Args:
        server: Socket.IO's.
        place: the server's own things.
        door: for coming and going.
        rooms: for rooms.
        desk: for calls.
    """

    def __init__(self, server: socketio.AsyncServer, place: Place, door: Door, rooms: Rooms, desk: Desk) -> None:
        self._server = server
        self._place = place
        self._door = door
        self._actions: dict[str, tuple[type[requests.Request], Action]] = {
            "join": (requests.Join, rooms.join),
            "leave": (requests.InRoom, rooms.leave),
            "chat:send": (requests.Say, rooms.say),
            "history": (requests.History, rooms.history),
            "typing": (requests.InRoom, rooms.typing),
            "presence": (requests.InRoom, rooms.present),
            "call:invite": (requests.Invite, desk.invite),
            "call:answer": (requests.Answer, desk.answer),
            "call:candidate": (requests.Candidate, desk.candidate),
            "call:hangup": (requests.HangUp, desk.hang_up),
        }
        server.on("connect", self._connect)
        server.on("disconnect", self._disconnect)
        server.on("*", self._event)

    async def _connect(self, sid: str, environ: Any, auth: object = None) -> None:
        if self._place.clients.find(sid) is not None:
            return  # an event of this name from a client that is connected
        engine_sid = self._server.manager.eio_sid_from_sid(sid, "/")
        await self._door.connect(sid, self._server.eio.sockets[engine_sid], auth)
        environ["asgi.scope"][ADMITTED] = True

    async def _disconnect(self, sid: str, *_: object) -> None:
        client = self._place.clients.find(sid)
        # An event of this name from a client that stays connected is none.
        if client is not None and not self._server.manager.is_connected(sid, "/"):
            await self._door.disconnect(client)

    async def _event(self, event: str, sid: str, *arguments: Any) -> Answer:
        client = self._place.clients.find(sid)
        if client is None:
            return {"ok": False, "error": Refusal("not_connected", "connect first").error}
        try:
            await self._place.outlet.readiness(client)
            self._door.spend(client)
            return {"ok": True, **await self._act(client, event, arguments)}
        except Refusal as refusal:
            error = refusal.error
        except (psycopg.Error, PoolTimeout, ServerEnded) as problem:
            log.warning("%s of user %s was not done: %r", event, client.user_id, problem)
            error = Refusal("unavailable", "not now; try again in a moment").error
        except Exception:
            log.exception("%s of user %s was not done, by a fault of this program", event, client.user_id)
            error = Refusal("internal", "it went wrong here, and is in the log").error
        self._place.telemetry.refused.labels(error["code"]).inc()
        return {"ok": False, "error": error}

    async def _act(self, client: Client, event: str, arguments: tuple[Any, ...]) -> Answer:
        if event not in self._actions:
            raise Refusal("unknown_event", f"{event!r:.60} is none of {', '.join(self._actions)}")
        model, action = self._actions[event]
        answer = await action(client, parse(model, arguments))
        self._place.telemetry.requests.labels(event).inc()
        return answer
