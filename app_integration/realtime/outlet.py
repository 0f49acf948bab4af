"""Sends to clients, and never waits for one: what is sent is queued for it, and who has too much queued is let go.

The only module that knows Engine.IO's sockets. python-socketio's own `emit` makes a task for each recipient and lets
their queues grow without bound; here a packet is encoded once for all, and queuing it costs no task and no wait.
Guarantees: a client that reads slowly, or not at all, costs its queue and nothing else, and is disconnected when that
is full; the others have theirs in the meantime. It cannot fill the queue with answers either: what it asks for waits
until it has taken what there is, and when it takes nothing it is disconnected.
"""

import asyncio
import logging
from collections.abc import Iterable
from typing import Any

import socketio
from engineio import packet as engine
from socketio import packet as frames

from app_integration.realtime.clients import Client
from app_integration.realtime.refusal import Refusal
from app_integration.realtime.telemetry import Telemetry

log = logging.getLogger("app_integration.realtime")

MOST_UNREAD = 8
"""Packets that may wait for a client that asks for more; an answer is much larger than what is told to all."""

PATIENCE = 10.0
"""Seconds for such a client to take them. Not at once: who comes back on a slow line asks for many rooms in one go."""


class Outlet:
    """What all packets to clients go through, but for answers.

    Args:
        server: Socket.IO's.
        queue: packets that may wait for one client.
        telemetry: counts what is queued, and who is let go.
    """

    def __init__(self, server: socketio.AsyncServer, queue: int, telemetry: Telemetry) -> None:
        self._server = server
        self._queue = queue
        self._telemetry = telemetry
        self._closing: set[asyncio.Task[None]] = set()

    def send(self, clients: Iterable[Client], event: str, body: Any) -> None:
        """Queue an event for clients.

        Beside Engine.IO's own `send`, which first asks whether the client has answered its pings, and ends one that has
        not there and then, database work and all: whoever sends would wait for that. Its service task finds them too.
        """
        packet, sent = None, 0
        for client in clients:
            packet = packet or _packet(event, body)
            if client.socket.closed or client.socket.closing:
                continue
            if client.socket.queue.qsize() >= self._queue:
                self._let_go(client)
                continue
            client.socket.queue.put_nowait(packet)
            sent += 1
        if sent:
            self._telemetry.sent.labels(event).inc(sent)

    async def readiness(self, client: Client) -> None:
        """Wait until a client that asks for something has taken what waits for it, if that is much.

        Only its own requests wait: they are taken one after the other, and those that follow stay in its own buffers.

        Raises:
            Refusal: it does not take it, and is let go.
        """
        queue = client.socket.queue
        if queue.qsize() < MOST_UNREAD:
            return
        try:
            async with asyncio.timeout(PATIENCE):
                await queue.join()
        except TimeoutError:
            self._let_go(client)
            raise Refusal("too_slow", "what was sent before is not read") from None

    def end(self, client: Client, event: str, body: Any) -> None:
        """Tell a client why, and end its connection after what is queued for it."""
        self._keep(self._end(client, event, body))

    def drop(self, client: Client) -> None:
        """End a connection at once, with all that is queued for it."""
        self._keep(self._drop(client))

    def _let_go(self, client: Client) -> None:
        waiting = client.socket.queue.qsize()
        log.warning("a client of user %s is too slow (%d packets wait), and is let go", client.user_id, waiting)
        self._telemetry.dropped.inc()
        self.drop(client)

    async def _end(self, client: Client, event: str, body: Any) -> None:
        self.send([client], event, body)
        # Socket.IO's own packet first: by it a client knows that it is not to come back by itself.
        await self._server.disconnect(client.sid)
        await client.socket.close(wait=False, reason=self._server.reason.SERVER_DISCONNECT)

    async def _drop(self, client: Client) -> None:
        # Aborted: nothing more is queued, not even the packet that would say so.
        await client.socket.close(wait=False, abort=True, reason=self._server.reason.SERVER_DISCONNECT)
        queue = client.socket.queue
        while not queue.empty():
            queue.get_nowait()
            queue.task_done()
        queue.put_nowait(None)  # which ends its writer

    def _keep(self, work: Any) -> None:
        task = asyncio.ensure_future(work)
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)


def _packet(event: str, body: Any) -> Any:
    encoded = frames.Packet(frames.EVENT, namespace="/", data=[event, body]).encode()
    return engine.Packet(engine.MESSAGE, encoded)
