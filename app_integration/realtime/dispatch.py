"""From Kafka to the clients of this server: each record to whom it concerns, in the order of the topic.

Guarantees: what one record does wrong ends nothing: it is logged and passed over. Chat and feeds come once and without
a gap: a repeat is known by its number, and what is missing is read from the database. Coming and going is told in
batches, a few a second, for in a full room each of it concerns everybody.
"""

import asyncio
import logging
from collections import OrderedDict, defaultdict
from typing import Any

import psycopg
from psycopg_pool import PoolTimeout

from app_integration.realtime import streams
from app_integration.realtime.desk import Desk
from app_integration.realtime.names import owner_of
from app_integration.realtime.place import Place
from app_integration.realtime.records import Kind, Record
from app_integration.realtime.rooms import Rooms
from app_integration.realtime.topic import Topic

log = logging.getLogger("app_integration.realtime")

PRESENCE_SECONDS = 0.2
"""Between two batches of coming and going."""

MOST_FILLED = 500
"""Entries of a gap that are read; clients see by the numbers that there was more, and read on themselves."""

MOST_REMEMBERED = 10_000
"""Notifications by whose id a repeat is known."""


class Dispatch:
    """Tells this server's clients.

    Args:
        place: the server's.
        rooms: for who is expelled.
        desk: for calls.
    """

    def __init__(self, place: Place, rooms: Rooms, desk: Desk) -> None:
        self._place = place
        self._rooms = rooms
        self._presence: defaultdict[str, dict[str, dict[str, Any]]] = defaultdict(dict)
        self._notified: OrderedDict[tuple[str, str], None] = OrderedDict()
        self._tell = {
            Kind.CHAT: self._entry,
            Kind.FEED: self._entry,
            Kind.NOTIFICATION: self._notification,
            Kind.PRESENCE: self._changed,
            Kind.TYPING: self._typing,
            Kind.CALL: desk.tell,
            Kind.EXPELLED: rooms.expel,
        }

    async def run(self, topic: Topic) -> None:
        """Tell what comes, until cancelled."""
        while True:
            for record in await topic.batch():
                await self.tell(record)
                # A turn for everybody else: nothing above waits, unless for the database.
                await asyncio.sleep(0)

    async def tell(self, record: Record) -> None:
        """Tell one record to whom it concerns."""
        passed_over = self._place.telemetry.records.labels(record.kind.value, "passed over")
        try:
            await self._tell[record.kind](record)
        except (LookupError, TypeError, ValueError) as error:
            log.warning("a record that makes no sense is passed over (%s to %s): %r", record.kind, record.to, error)
            passed_over.inc()
        except (psycopg.Error, PoolTimeout) as error:
            log.warning("a record is passed over, for the database did not answer (%s): %s", record.to, error)
            passed_over.inc()
        else:
            self._place.telemetry.records.labels(record.kind.value, "told").inc()

    async def run_presence(self) -> None:
        """Tell who has come and gone, until cancelled."""
        while True:
            await asyncio.sleep(PRESENCE_SECONDS)
            changed, self._presence = self._presence, defaultdict(dict)
            for name, users in changed.items():
                if room := self._place.clients.room(name):
                    self._place.outlet.send(
                        list(room.clients), "presence", {"room": name, "users": list(users.values())}
                    )

    async def _entry(self, record: Record) -> None:
        room = self._place.clients.room(record.to)
        if room is None:
            return
        live = room.streams[record.kind]
        missing = live.missing(record.body["sequence"])
        if missing and not await self._fill(record, missing):
            return
        self._place.outlet.send(live.offer(record.body), record.kind, record.body)

    async def _fill(self, record: Record, missing: range) -> bool:
        """Tell what has not come before a record; say whether the record is to be told."""
        async with self._place.pool.connection() as connection:
            page = await streams.page(connection, record.to, record.kind, limit=1)
            if page["sequence"] < record.body["sequence"]:
                log.warning("a record is passed over whose number %s never had (%s)", record.to, record.kind)
                return False
            entries = await streams.between(connection, record.to, record.kind, missing[-MOST_FILLED:])
        log.warning(
            "%d entries of %s did not come through kafka, and were read from the database", len(entries), record.to
        )
        room = self._place.clients.room(record.to)
        if room is None:
            return False
        for entry in entries:
            self._place.outlet.send(room.streams[record.kind].offer(entry), record.kind, entry)
        return True

    async def _notification(self, record: Record) -> None:
        user, identity = owner_of(record.to), record.body.get("id")
        if user is None:
            raise ValueError("a notification is for a user")
        if isinstance(identity, str):
            if (user, identity) in self._notified:
                return
            self._notified[user, identity] = None
            if len(self._notified) > MOST_REMEMBERED:
                self._notified.popitem(last=False)
        self._place.outlet.send(self._place.clients.of_user(user), "notification", record.body)

    async def _changed(self, record: Record) -> None:
        told = {name: record.body[name] for name in ("userId", "online", "at")}
        if self._place.clients.room(record.to):
            self._presence[record.to][told["userId"]] = told

    async def _typing(self, record: Record) -> None:
        if room := self._place.clients.room(record.to):
            others = [client for client in room.clients if client.user_id != record.body["userId"]]
            self._place.outlet.send(others, "typing", record.body)
