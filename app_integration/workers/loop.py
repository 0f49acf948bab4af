"""The loop of a worker: receive, handle, let offsets be committed; try again what failed; wait outages out.

One thread does all of it, so that a partition is taken away only between two batches. Guarantees: nothing received is
passed over; a message that fails alone costs its batch one rollback; told to stop, it ends after what is in hand.
"""

import random
import time
from collections.abc import Callable
from threading import Event as Flag
from typing import Any

import psycopg

from app_integration.workers import held, inbox
from app_integration.workers.backoff import Backoff
from app_integration.workers.events import Event, Handled, Pruned, Standing, Waiting, WentOn
from app_integration.workers.group import Group
from app_integration.workers.handling import Handling, Result
from app_integration.workers.received import Received
from app_integration.workers.verdict import Outage, outage_of
from app_integration.workers.worker import Connection, Worker

LOOK_SECONDS = 0.5
"""Between two looks whether something held is due; also how soon a stop is noticed."""

STANDING_SECONDS = 5.0
PRUNE_SECONDS = 600.0
PRUNE_ROWS = 5_000
"""Deleted at once, so that nobody waits for it."""

RETRY_SECONDS = 5.0
"""For which held messages are tried in a row before new ones, and the group, have their turn."""

OUTAGE = Backoff(first=0.5, longest=30.0, attempts=2**31)
"""An outage is tried again soon at first, and for ever."""


class Loop:
    """A running worker.

    Args:
        worker: what it does.
        group: what it receives.
        handling: how.
        connect: opens a session, or raises an `Outage`.
        tell: is told the events.
        stop: ends it.
        retention: seconds that the inbox is kept.
    """

    def __init__(  # noqa: PLR0917 - the daemon alone calls it
        self,
        worker: Worker,
        group: Group,
        handling: Handling,
        connect: Callable[[], Connection],
        tell: Callable[[Event], None],
        stop: Flag,
        retention: float,
    ) -> None:
        self._worker = worker
        self._group = group
        self._handling = handling
        self._connect = connect
        self._tell = tell
        self._stop = stop
        self._retention = retention
        self._session: psycopg.Connection[Any] | None = None
        self._one_by_one = 0
        self._look_at = self._stand_at = self._prune_at = 0.0
        self._outages = 0
        self._since: float | None = None
        self._dice = random.Random()  # noqa: S311 - jitter is no secret

    def run(self) -> None:
        """Work until told to stop."""
        try:
            while not self._stop.is_set():
                try:
                    self._turn()
                except Outage as outage:
                    self._wait_out(outage)
                else:
                    self._went_on()
        finally:
            if self._session is not None:
                self._session.close()

    def _turn(self) -> None:
        # Asked for each time: a handler may have had its session ended.
        self._retry()
        batch = max(1, self._worker.batch)
        self._group.receive(2 * batch, 0 if self._group.pending else LOOK_SECONDS)
        messages = self._group.take(1 if self._one_by_one else batch)
        if messages:
            self._handle(self._connection(), messages)
        self._stand(self._connection())
        self._prune(self._connection())

    def _connection(self) -> Connection:
        if self._session is None or self._session.broken or self._session.closed:
            self._session = self._connect()
        return self._session

    def _handle(self, connection: Connection, messages: list[Received]) -> None:
        began = time.monotonic()
        try:
            results = self._results(connection, messages)
        except Outage:
            self._group.put_back(messages)
            raise
        self._group.done(messages[: len(results)])
        self._tell(Handled(results, time.monotonic() - began))

    def _results(self, connection: Connection, messages: list[Received]) -> list[Result]:
        if len(messages) == 1:
            self._one_by_one = max(0, self._one_by_one - 1)
            return [self._handling.one(connection, messages[0])]
        try:
            return self._handling.batch(connection, messages)
        except Outage:
            raise
        except Exception:  # noqa: BLE001 - whatever one of them raised: it is found when each is handled by itself
            self._one_by_one = len(messages)
            self._group.put_back(messages)
            return []

    def _retry(self) -> None:
        """Handle what was held and is due."""
        if time.monotonic() < self._look_at:
            return
        until = time.monotonic() + RETRY_SECONDS
        while (began := time.monotonic()) < until:
            if self._stop.is_set() or (result := self._handling.retry(self._connection())) is None:
                self._look_at = time.monotonic() + LOOK_SECONDS
                return
            self._tell(Handled([result], time.monotonic() - began, retried=True))

    def _wait_out(self, outage: Outage) -> None:
        """Stay in the group and fetch nothing until it is worth another try."""
        self._outages += 1
        self._since = self._since or time.monotonic()
        seconds = OUTAGE.pause(self._outages, self._dice.random()) or OUTAGE.longest
        self._tell(Waiting(str(outage), seconds, self._outages))
        until = time.monotonic() + seconds
        while not self._stop.is_set() and (left := until - time.monotonic()) > 0:
            self._group.pause()
            try:
                # Paused, so it only serves the group; what came before the pause is kept.
                self._group.receive(self._group.pending + 1, min(LOOK_SECONDS, left))
            except Outage:
                self._stop.wait(min(LOOK_SECONDS, left))
        self._group.resume()

    def _went_on(self) -> None:
        """A whole turn passed without an outage."""
        if self._since is not None:
            self._tell(WentOn(time.monotonic() - self._since))
            self._outages, self._since = 0, None

    def _stand(self, connection: Connection) -> None:
        if time.monotonic() >= self._stand_at:
            self._stand_at = time.monotonic() + STANDING_SECONDS
            retrying, dead = _asked(held.count, connection, self._worker.name)
            self._tell(Standing(self._group.lag(), retrying, dead))

    def _prune(self, connection: Connection) -> None:
        if time.monotonic() >= self._prune_at:
            rows = _asked(inbox.prune, connection, self._retention, PRUNE_ROWS)
            # A full step: there is more, and it is done soon.
            self._prune_at = time.monotonic() + (LOOK_SECONDS if rows == PRUNE_ROWS else PRUNE_SECONDS)
            if rows:
                self._tell(Pruned(rows))


def _asked(ask: Callable[..., Any], *arguments: Any) -> Any:
    try:
        return ask(*arguments)
    except psycopg.Error as error:
        raise (outage_of(error) or error) from None
