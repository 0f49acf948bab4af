"""The heartbeat of a server, and what servers do for one another: clearing up after one that has died.

Guarantees: the users of a server that is killed, stopped or cut off are offline, and its calls are over, within
`dead_after_seconds` and two heartbeats, as long as one other server is alive; it does not matter which of them does it,
nor whether two try. A server that was only slow finds itself ended, lets its clients go, and begins anew: they connect
again, and nobody is online whom nobody hears.
"""

import asyncio
import logging
import math
import time

import psycopg
from psycopg_pool import PoolTimeout

from app_integration.realtime import attendance, call_store, streams
from app_integration.realtime.calls import Step
from app_integration.realtime.desk import Desk
from app_integration.realtime.door import Door
from app_integration.realtime.place import Place

log = logging.getLogger("app_integration.realtime")

TIDY_SECONDS = 15.0
PRUNE_SECONDS = 3600.0
PLACES_AT_ONCE = 500
ENTRIES_AT_ONCE = 5_000


class Keeper:
    """Keeps one server alive, and the others' rows true.

    Args:
        place: the server's.
        door: for connections that have gone.
        desk: for calls.
    """

    def __init__(self, place: Place, door: Door, desk: Desk) -> None:
        self._place = place
        self._door = door
        self._desk = desk
        self._beaten = 0.0
        self._steady_since = float("inf")
        self._tidied = time.monotonic()
        # Soon after the start, so that a server which is started anew each hour does its part too.
        self._pruned = float("-inf")

    @property
    def healthy(self) -> bool:
        """Whether the database has heard of this server lately."""
        return time.monotonic() - self._beaten < self._place.settings.dead_after_seconds

    async def register(self) -> None:
        """Make this server known."""
        async with self._place.pool.connection() as connection:
            values = {"server_id": self._place.server_id, "name": self._place.settings.name}
            await connection.execute(attendance.REGISTER, values)
        self._beaten = time.monotonic()

    async def run(self) -> None:
        """Beat and clear up, until cancelled."""
        while True:
            try:
                await self._beat()
                self._steady_since = min(self._steady_since, time.monotonic())
                await self._care()
            except (psycopg.Error, PoolTimeout) as error:
                self._steady_since = float("inf")
                log.warning("the database does not answer: nobody can join, write or call meanwhile: %s", error)
            await asyncio.sleep(self._place.settings.heartbeat_seconds)

    async def retire(self) -> None:
        """End this server at once, and clear up after it."""
        async with self._place.pool.connection() as connection:
            await connection.execute(attendance.END, {"server_id": self._place.server_id})
        await self._clear_up()

    async def _beat(self) -> None:
        async with self._place.pool.connection() as connection:
            values = {"server_id": self._place.server_id}
            alive = await (await connection.execute(attendance.HEARTBEAT, values)).fetchone()
        if alive is None:
            log.warning("other servers took this one for dead, and it begins anew: its clients have to connect again")
            self._place.renew()
            await self.register()
            for client in self._place.clients.all():
                self._place.outlet.drop(client)
        self._beaten = time.monotonic()

    async def _care(self) -> None:
        now = time.monotonic()
        # After an outage of the database everybody was silent: they get the time to be heard of again.
        if now - self._steady_since > self._place.settings.dead_after_seconds:
            await self._end_silent()
        await self._clear_up()
        if now - self._tidied > TIDY_SECONDS:
            self._tidied = now
            await self._tidy()
        if now - self._pruned > PRUNE_SECONDS:
            self._pruned = now
            await self._prune()

    async def _end_silent(self) -> None:
        async with self._place.pool.connection() as connection:
            values = {"seconds": self._place.settings.dead_after_seconds}
            for (name,) in await (await connection.execute(attendance.END_SILENT, values)).fetchall():
                log.warning("server %s was not heard of and is taken for dead: its users are offline", name)

    async def _clear_up(self) -> None:
        async with self._place.pool.connection() as connection:
            for call_id in await call_store.unanswered(connection):
                await call_store.end_if_going(connection, call_id, Step.TIME_OUT)
            for call_id in await call_store.of_ended_servers(connection):
                await call_store.end_if_going(connection, call_id, Step.LOSE)
            while left := await attendance.left_behind(connection, PLACES_AT_ONCE):
                for place in left:
                    await attendance.depart(connection, place)

    async def _tidy(self) -> None:
        """Make memory and database agree: what was lost on the way by an error here or there."""
        for client in self._place.clients.all():
            if client.socket.closed:
                await self._door.disconnect(client)
        async with self._place.pool.connection() as connection:
            written = await attendance.connections(connection, self._place.server_id)
        if strangers := [sid for sid in written if self._place.clients.find(sid) is None]:
            await self._door.clear(strangers)
        self._door.forget()
        self._desk.forget()

    async def _prune(self) -> None:
        async with self._place.pool.connection() as connection:
            await connection.execute(attendance.FORGET_ENDED)
            await call_store.prune(connection)
        seconds = self._place.settings.retention
        if not math.isfinite(seconds):
            return
        gone = ENTRIES_AT_ONCE
        while gone == ENTRIES_AT_ONCE:
            # A transaction each, so that nobody waits for it.
            async with self._place.pool.connection() as connection:
                gone = await streams.prune(connection, seconds, ENTRIES_AT_ONCE)
            if gone:
                self._place.telemetry.pruned.inc(gone)
                log.info("%d entries of chats and feeds were old enough to go", gone)
