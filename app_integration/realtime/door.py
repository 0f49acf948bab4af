"""How connections begin and end: who somebody is, until when, and that a user is there.

Guarantees: nobody is connected without a valid token, nor for longer than it is valid; what a refused client is told
says what to do, and nothing about why a token is false. A connection that has ended is forgotten whole, in memory at
once and in the database soon.
"""

import asyncio
import logging
import math
import time
from datetime import UTC, datetime
from typing import Any

import psycopg
from psycopg_pool import PoolTimeout
from socketio.exceptions import ConnectionRefusedError as Refused

from app_integration.realtime import attendance, call_store
from app_integration.realtime.calls import Step
from app_integration.realtime.clients import Client
from app_integration.realtime.names import USER, room_of
from app_integration.realtime.place import Place
from app_integration.realtime.rates import Bucket
from app_integration.realtime.refusal import Refusal
from app_integration.tokens import ExpiredToken, Identity, InvalidToken, check_token

log = logging.getLogger("app_integration.realtime")

LONGEST_WAIT = 24 * 3600.0
"""Seconds that a timer of the event loop is set for at most; then it looks again."""


class Door:
    """Lets connections in and out.

    Args:
        place: the server's.
    """

    def __init__(self, place: Place) -> None:
        self._place = place
        self._buckets: dict[str, Bucket] = {}
        """Of each user who is connected."""

    async def connect(self, sid: str, socket: Any, auth: object) -> None:
        """Let a connection in.

        Raises:
            Refused: it may not; the client is told the code and a text.
        """
        try:
            identity = self._identify(auth)
            self._admit(identity)
            client = Client(sid, identity.user_id, socket, self._bucket(1))
            self.spend(client)
            # Known before its rows are there: whoever clears up rows of nobody must not find these.
            self._place.clients.add(client)
            await self._arrive(client)
        except Refusal as refusal:
            self._place.telemetry.refused.labels(refusal.code).inc()
            raise Refused(refusal.message, refusal.error) from None
        self._expire_at(client, identity.expires_at)

    async def disconnect(self, client: Client) -> None:
        """Forget a connection, and end its calls."""
        if client.expiry is not None:
            client.expiry.cancel()
        self._place.clients.remove(client)
        try:
            await self.clear([client.sid])
        except (psycopg.Error, PoolTimeout) as error:
            log.warning("a connection's rows could not be taken away, which is tried again soon: %s", error)

    async def clear(self, sids: list[str]) -> None:
        """Take away what the database has of connections that are gone, and end their calls."""
        async with self._place.pool.connection() as connection:
            for place in await attendance.places(connection, sids):
                await attendance.depart(connection, place)
            for sid in sids:
                for call_id in await call_store.of_connection(connection, sid):
                    await call_store.end_if_going(connection, call_id, Step.LOSE)

    def spend(self, client: Client) -> None:
        """Count a request.

        Raises:
            Refusal: there were too many lately.
        """
        now = time.monotonic()
        wait = client.bucket.take(now) or self._buckets.setdefault(client.user_id, self._bucket(2)).take(now)
        if wait:
            after = math.ceil(wait * 1000) / 1000
            raise Refusal("rate_limited", f"too many requests; wait {after:g} s", retryAfterSeconds=after)

    def forget(self) -> None:
        """Forget what users who have gone had left of their rate: by now it would be full again."""
        limits = self._place.settings.limits
        full = time.monotonic() - limits.burst / limits.per_second
        for user_id, bucket in list(self._buckets.items()):
            if bucket.now < full and not self._place.clients.of_user(user_id):
                del self._buckets[user_id]

    def _identify(self, auth: object) -> Identity:
        token = auth.get("token") if isinstance(auth, dict) else None
        if not isinstance(token, str):
            raise Refusal("token_missing", 'connect with auth: {"token": "<JWT>"}')
        try:
            identity = check_token(token, self._place.settings.secret)
        except ExpiredToken:
            raise Refusal("token_expired", "the token has expired; get a new one and connect again") from None
        except InvalidToken:
            raise Refusal("token_invalid", "the token is not valid here") from None
        if not USER.fullmatch(identity.user_id):
            raise Refusal("token_invalid", "the token is not valid here")
        return identity

    def _admit(self, identity: Identity) -> None:
        limit = self._place.settings.limits.connections
        if len(self._place.clients.of_user(identity.user_id)) >= limit:
            raise Refusal("too_many_connections", f"a user may have {limit} connections to a server", limit=limit)

    async def _arrive(self, client: Client) -> None:
        try:
            async with self._place.pool.connection() as connection:
                await attendance.arrive(
                    connection,
                    client=client.sid,
                    user_id=client.user_id,
                    room=room_of(client.user_id),
                    server_id=self._place.server_id,
                )
        except (psycopg.Error, PoolTimeout, attendance.ServerEnded) as error:
            self._place.clients.remove(client)
            log.warning("a connection is refused, for the database did not do its part: %r", error)
            raise Refusal("unavailable", "not now; try again in a moment") from None
        except asyncio.CancelledError:
            self._place.clients.remove(client)
            raise

    def _bucket(self, times: int) -> Bucket:
        limits = self._place.settings.limits
        return Bucket(limits.per_second * times, limits.burst * times, time.monotonic())

    def _expire_at(self, client: Client, moment: datetime) -> None:
        left = (moment - datetime.now(UTC)).total_seconds()
        if left <= 0:
            error = {"code": "token_expired", "message": "the token has expired; get a new one and connect again"}
            self._place.outlet.end(client, "session:ended", error)
        else:
            wait = min(left, LONGEST_WAIT)
            client.expiry = asyncio.get_running_loop().call_later(wait, self._expire_at, client, moment)
