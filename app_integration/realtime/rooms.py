"""What clients ask for in rooms: to enter, to leave, to write, to read, and who is there.

Law: the server decides who is in a room, by the policy, at each join; everything else is for those who are in it. What
is stored is announced by the transaction that stores it, and comes to its author as to everybody, through Kafka.
"""

import logging
from typing import Any

import psycopg
from psycopg_pool import PoolTimeout

from app_integration.realtime import attendance, streams
from app_integration.realtime.clients import Client, Room
from app_integration.realtime.live import TooBusy
from app_integration.realtime.names import owner_of
from app_integration.realtime.place import Place
from app_integration.realtime.records import STREAMS, Kind, Record
from app_integration.realtime.refusal import Refusal
from app_integration.realtime.requests import PAGE, History, InRoom, Join, Say

log = logging.getLogger("app_integration.realtime")

MOST_PRESENT = 200
"""Of those who are in a room, so many are named, the newest; all are counted."""


class Rooms:
    """Answers to clients, about rooms.

    Args:
        place: the server's.
    """

    def __init__(self, place: Place) -> None:
        self._place = place

    async def join(self, client: Client, asked: Join) -> dict[str, Any]:
        """Let a client into a room, and give it the history up to where live begins."""
        name = asked.room
        await self._demand_admission(client, name)
        room = self._place.clients.enter(client, name)
        for stream in room.streams.values():
            stream.remove(client)  # who joins again begins again
            stream.begin(client)
        try:
            pages, present = await self._arrive(client, asked)
            _demand_still(client, room)
            for kind, page in pages.items():
                forward = (asked.after if kind is Kind.CHAT else asked.feed_after) is not None
                self._splice(room, client, kind, page, forward=forward)
        except BaseException:
            await self._leave(client, name)
            raise
        return {"room": name, "present": present, **{kind.value: page for kind, page in pages.items()}}

    async def leave(self, client: Client, asked: InRoom) -> dict[str, Any]:
        """Let a client out of a room."""
        self._demand_presence(client, asked.room)
        await self._leave(client, asked.room)
        return {"room": asked.room}

    async def say(self, client: Client, asked: Say) -> dict[str, Any]:
        """Store a chat message and announce it."""
        self._demand_presence(client, asked.room)
        async with self._place.pool.connection() as connection:
            entry, new = await streams.say(connection, asked.room, client.user_id, asked.text, asked.client_id)
        return {"message": entry, "repeated": not new}

    async def history(self, client: Client, asked: History) -> dict[str, Any]:
        """Give a page of what was."""
        self._demand_presence(client, asked.room)
        if asked.before is not None and asked.after is not None:
            raise Refusal("invalid", "before and after are for two directions; give one", field="after")
        async with self._place.pool.connection() as connection:
            return await streams.page(
                connection, asked.room, asked.stream, before=asked.before, after=asked.after, limit=asked.limit
            )

    async def typing(self, client: Client, asked: InRoom) -> dict[str, Any]:
        """Tell a room that somebody types."""
        self._demand_presence(client, asked.room)
        body = {"room": asked.room, "userId": client.user_id}
        self._place.ephemeral.send(Record(Kind.TYPING, asked.room, body))
        return {}

    async def present(self, client: Client, asked: InRoom) -> dict[str, Any]:
        """Tell who is in a room."""
        self._demand_presence(client, asked.room)
        async with self._place.pool.connection() as connection:
            return {"room": asked.room, **await attendance.present(connection, asked.room, MOST_PRESENT)}

    async def expel(self, record: Record) -> None:
        """Take a user out of a room who may not be there any more."""
        for client in self._place.clients.of_user(record.body["userId"]):
            client.expelled += 1
            if record.to in client.rooms and owner_of(record.to) != client.user_id:
                await self._leave(client, record.to)
                self._place.outlet.send([client], "room:left", {"room": record.to, "why": "expelled"})

    async def _demand_admission(self, client: Client, room: str) -> None:
        limit = self._place.settings.limits.rooms
        if room not in client.rooms and len(client.rooms) >= limit:
            raise Refusal("too_many_rooms", f"a connection may be in {limit} rooms", limit=limit)
        if not await self._may_join(client, room):
            if room in client.rooms:
                await self._leave(client, room)
            # The same whether there is such a room or not.
            raise Refusal("forbidden", f"you may not join {room}")

    async def _may_join(self, client: Client, room: str) -> bool:
        """Ask the policy; again if the user was expelled from anywhere meanwhile, for the answer may be of before."""
        while True:
            expelled = client.expelled
            may = await self._place.policy.may_join(client.user_id, room)
            if client.expelled == expelled:
                return may

    def _demand_presence(self, client: Client, room: str) -> None:
        if room not in client.rooms:
            raise Refusal("not_joined", f"join {room} first")

    async def _arrive(self, client: Client, asked: Join) -> tuple[dict[Kind, dict[str, Any]], dict[str, Any]]:
        numbers = {Kind.CHAT: asked.after, Kind.FEED: asked.feed_after}
        async with self._place.pool.connection() as connection:
            await attendance.arrive(
                connection,
                client=client.sid,
                user_id=client.user_id,
                room=asked.room,
                server_id=self._place.server_id,
            )
            pages = {
                kind: await streams.page(connection, asked.room, kind, after=numbers[kind], limit=PAGE)
                for kind in STREAMS
            }
            return pages, await attendance.present(connection, asked.room, MOST_PRESENT)

    def _splice(self, room: Room, client: Client, kind: Kind, page: dict[str, Any], *, forward: bool) -> None:
        """Make a client live where its history ends; what came meanwhile is part of its answer, which goes first."""
        try:
            follow = room.streams[kind].ready(client, page["sequence"])
        except TooBusy:
            raise Refusal("busy", "more was said than could be kept while history was read; join again") from None
        if follow:
            page["sequence"] = follow[-1]["sequence"]
        if not (forward and page["more"]):  # else the client reads on from its last entry, and finds these there
            page["entries"] += follow

    async def _leave(self, client: Client, room: str) -> None:
        if owner_of(room) == client.user_id:
            # It stays in its own room, where notifications and calls come, and only the chat and the feed are left.
            if entered := self._place.clients.room(room):
                for stream in entered.streams.values():
                    stream.remove(client)
            return
        self._place.clients.leave(client, room)
        try:
            async with self._place.pool.connection() as connection:
                await attendance.depart(connection, (room, client.user_id, [client.sid]))
        except (psycopg.Error, PoolTimeout) as error:
            log.warning("a departure could not be written: the user seems present until the tab is closed: %s", error)


def _demand_still(client: Client, room: Room) -> None:
    """Refuse a client that has gone, or was expelled, while it was let in."""
    if client not in room.clients:
        raise Refusal("forbidden", "you may not join this room")
