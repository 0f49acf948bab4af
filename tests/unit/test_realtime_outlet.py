"""Sending holds nobody up: not the ones who read, and not the server itself."""

import asyncio
import time

import prometheus_client as prometheus
import pytest
import socketio
from engineio.async_socket import AsyncSocket

from app_integration.realtime.clients import Client
from app_integration.realtime.gate import Event, Gate, Receive, Send
from app_integration.realtime.outlet import Outlet
from app_integration.realtime.rates import Bucket
from app_integration.realtime.telemetry import Telemetry


def test_one_that_answers_no_pings_is_let_go_by_engine_io_and_not_waited_for_by_who_sends() -> None:
    server = socketio.AsyncServer(async_mode="asgi", ping_timeout=0.1)
    outlet = Outlet(server, 10, Telemetry(prometheus.CollectorRegistry()))

    async def send() -> None:
        away, begun = asyncio.Event(), asyncio.Event()

        async def slowly(sid: str, reason: str) -> None:
            """Forget it, while the database does not answer."""
            assert (sid, reason) == ("frozen", server.reason.PING_TIMEOUT)
            begun.set()
            await away.wait()

        server.eio.on("disconnect", slowly)
        frozen, lively = AsyncSocket(server.eio, "frozen"), AsyncSocket(server.eio, "lively")
        frozen.last_ping = time.time() - 60
        clients = [Client(each.sid, each.sid, each, Bucket(1, 1, 0)) for each in (frozen, lively)]
        outlet.send(clients, "chat", {"text": "hello"})
        assert not begun.is_set()
        assert lively.queue.get_nowait().encode() == '42["chat",{"text":"hello"}]'
        server.eio.sockets["frozen"] = frozen
        service = asyncio.ensure_future(server.eio._service_task())
        await asyncio.wait_for(begun.wait(), 10)
        # Being closed, it is sent nothing more.
        waiting = frozen.queue.qsize()
        outlet.send(clients, "chat", {"text": "again"})
        assert (frozen.queue.qsize(), lively.queue.qsize()) == (waiting, 1)
        away.set()
        server.eio.service_task_event.set()
        await asyncio.wait_for(service, 10)
        assert frozen.closed

    asyncio.run(send())


def test_what_is_written_to_one_that_takes_nothing_is_given_up() -> None:
    taken: list[Event] = []

    async def application(scope: Event, receive: Receive, send: Send) -> None:
        assert scope["type"] == (await receive())["type"] == "websocket"
        await send({"type": "websocket.accept"})
        with pytest.raises(TimeoutError):
            await send({"type": "websocket.send"})
        with pytest.raises(TimeoutError):
            await send({"type": "websocket.close"})

    async def receive() -> Event:
        return {"type": "websocket"}

    async def send(event: Event) -> None:
        taken.append(event)
        if event["type"] != "websocket.accept":
            await asyncio.Event().wait()

    async def serve() -> None:
        await asyncio.wait_for(Gate(application, 100, slowest=0.1)({"type": "websocket"}, receive, send), 10)

    asyncio.run(serve())
    assert [event["type"] for event in taken] == ["websocket.accept", "websocket.send"]
