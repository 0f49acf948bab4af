"""The server to compare with: Socket.IO and nothing else. No token, no database, no Kafka, one process."""

import sys
from typing import Any

import socketio
import uvicorn

server = socketio.AsyncServer(async_mode="asgi", async_handlers=False, transports=["websocket"])


@server.on("connect")  # type: ignore[untyped-decorator]
async def connect(sid: str, environ: Any, auth: Any) -> None:
    """Let everybody in."""


@server.on("join")  # type: ignore[untyped-decorator]
async def join(sid: str, asked: dict[str, Any]) -> dict[str, Any]:
    """Put a client into a room."""
    await server.enter_room(sid, asked["room"])
    return {"ok": True}


@server.on("chat:send")  # type: ignore[untyped-decorator]
async def say(sid: str, asked: dict[str, Any]) -> dict[str, Any]:  # noqa: ARG001 - Socket.IO's signature
    """Tell a room."""
    await server.emit("chat", asked, room=asked["room"])
    return {"ok": True}


if __name__ == "__main__":
    uvicorn.run(
        socketio.ASGIApp(server),
        port=int(sys.argv[1]),
        log_level="warning",
        ws_per_message_deflate=False,
        lifespan="off",
    )
