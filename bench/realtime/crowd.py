"""Many clients in one process, as light as can be: WebSockets that speak as much Socket.IO as is needed.

Reads a line from standard input to begin, says `ready` when all have joined, and at the end of its input writes how
long each message took to each of them, in milliseconds, as JSON. Times are CLOCK_MONOTONIC, the same in all processes
of a machine.
"""

import asyncio
import json
import sys
import time
from dataclasses import dataclass, field

import uvloop
from websockets.asyncio.client import ClientConnection, connect

from app_integration.tokens import make_token

AT_ONCE = 20
"""Connections that are made at the same time."""


@dataclass
class Plan:
    """What a crowd is told."""

    url: str
    room: str
    secret: str
    first: int
    count: int
    latencies: list[float] = field(default_factory=list)


async def speak(plan: Plan, number: int) -> ClientConnection:
    """Connect a client and join the room."""
    address = plan.url.replace("http", "ws") + "/socket.io/?EIO=4&transport=websocket"
    socket = await connect(address, compression=None, max_size=None, open_timeout=60, ping_interval=None)
    await socket.send("40" + json.dumps({"token": make_token(f"user-{number}", plan.secret)}))
    await until(socket, "40")
    await socket.send("421" + json.dumps(["join", {"room": plan.room}]))
    answer = await until(socket, "431")
    if '"ok":true' not in answer:
        raise ConnectionError(answer)
    return socket


async def until(socket: ClientConnection, beginning: str) -> str:
    """Wait for a frame, and answer pings in the meantime."""
    while True:
        frame = str(await socket.recv())
        if frame.startswith(beginning):
            return frame
        if frame == "2":
            await socket.send("3")
        elif frame.startswith("44"):
            raise ConnectionError(frame)


async def listen(plan: Plan, socket: ClientConnection) -> None:
    """Note how long each message took."""
    while True:
        frame = await until(socket, '42["chat"')
        now = time.monotonic_ns()
        plan.latencies.append((now - int(json.loads(frame[2:])[1]["text"])) / 1e6)


async def main(plan: Plan) -> None:
    """Join, listen until standard input ends, and report."""
    gate = asyncio.Semaphore(AT_ONCE)

    async def enter(number: int) -> asyncio.Task[None]:
        async with gate:
            # Listening at once: who joins early must answer pings while the others join.
            return asyncio.create_task(listen(plan, await speak(plan, number)))

    listening = await asyncio.gather(*(enter(plan.first + number) for number in range(plan.count)))
    print("ready", flush=True)
    await asyncio.to_thread(sys.stdin.read)
    if lost := [task.exception() for task in listening if task.done()]:
        print(f"{len(lost)} clients were lost: {lost[0]!r}", file=sys.stderr)
    print(json.dumps(plan.latencies), flush=True)
    for task in listening:
        task.cancel()


if __name__ == "__main__":
    uvloop.run(main(Plan(**json.loads(sys.argv[1]))))
