"""The connections of one server, and who is in which room. Pure: it sends nothing and asks nobody.

Law: this is what a server knows by itself, and it forgets a connection whole. Whether somebody may be in a room is
decided before `enter`.
"""

import asyncio
from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

from app_integration.realtime.live import Live
from app_integration.realtime.names import room_of
from app_integration.realtime.rates import Bucket
from app_integration.realtime.records import STREAMS


@dataclass(eq=False, slots=True)
class Client:
    """A connection: one tab of one user."""

    sid: str
    user_id: str
    socket: Any
    """Engine.IO's own."""
    bucket: Bucket
    rooms: set[str] = field(default_factory=set)
    expiry: asyncio.TimerHandle | None = None
    expelled: int = 0
    """How often its user was taken out of a room while it was connected."""


@dataclass(slots=True)
class Room:
    """A room, as far as this server has clients in it."""

    clients: dict[Client, None] = field(default_factory=dict)
    streams: dict[str, Live[Client]] = field(default_factory=lambda: {kind: Live() for kind in STREAMS})


class Clients:
    """All connections of one server."""

    def __init__(self) -> None:
        self._by_sid: dict[str, Client] = {}
        self._by_user: defaultdict[str, dict[Client, None]] = defaultdict(dict)
        self._rooms: dict[str, Room] = {}

    def __len__(self) -> int:
        return len(self._by_sid)

    @property
    def rooms(self) -> int:
        """How many rooms somebody is in."""
        return len(self._rooms)

    def add(self, client: Client) -> None:
        """Take a connection in; it is in its user's own room from now on."""
        self._by_sid[client.sid] = client
        self._by_user[client.user_id][client] = None
        self.enter(client, room_of(client.user_id))

    def remove(self, client: Client) -> None:
        """Forget a connection."""
        for room in list(client.rooms):
            self.leave(client, room)
        self._by_sid.pop(client.sid, None)
        self._by_user[client.user_id].pop(client, None)
        if not self._by_user[client.user_id]:
            del self._by_user[client.user_id]

    def find(self, sid: str) -> Client | None:
        """Look a connection up."""
        return self._by_sid.get(sid)

    def all(self) -> list[Client]:
        """Every connection."""
        return list(self._by_sid.values())

    def of_user(self, user_id: str) -> list[Client]:
        """Every connection of a user."""
        return list(self._by_user.get(user_id, ()))

    def enter(self, client: Client, room: str) -> Room:
        """Put a connection into a room."""
        entered = self._rooms.setdefault(room, Room())
        entered.clients[client] = None
        client.rooms.add(room)
        return entered

    def leave(self, client: Client, room: str) -> None:
        """Take a connection out of a room, if it is there."""
        client.rooms.discard(room)
        left = self._rooms.get(room)
        if left is None:
            return
        left.clients.pop(client, None)
        for stream in left.streams.values():
            stream.remove(client)
        if not left.clients:
            del self._rooms[room]

    def room(self, name: str) -> Room | None:
        """Look a room up; None when nobody here is in it."""
        return self._rooms.get(name)
