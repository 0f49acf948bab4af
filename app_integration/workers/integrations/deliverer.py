"""Delivers: many queues at once, one delivery at a time in each, so that a slow subscriber takes nobody's time.

An event loop in a thread of its own, beside the loop that receives events. Guarantees: told to stop, it claims
nothing more and finishes what is on the wire, which takes no longer than one attempt; an outage of the database is
waited out; whatever else goes wrong is logged and begun anew.
"""

import asyncio
import logging
import random
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import prometheus_client as prometheus
import psycopg

from app_integration.workers import database
from app_integration.workers.integrations import deliveries, signature
from app_integration.workers.integrations.deliveries import Due, Session
from app_integration.workers.integrations.fate import Answer, Fate, decide
from app_integration.workers.integrations.posting import Poster
from app_integration.workers.settings import Settings, WebhookSettings
from app_integration.workers.verdict import say
from relay.configuration import duration

log = logging.getLogger("app_integration.workers")

LOOK_SECONDS = 0.2
"""Between two looks for queues that are due."""

BURST = 50
"""Deliveries of one queue in a row; then others have their turn, where there are more than can be served at once."""

AGAIN_SECONDS = 2.0
PRUNE_SECONDS = 600.0


class Deliverer:
    """Delivers until told to stop.

    Args:
        settings: where the database is.
        webhooks: how many queues are served at once, and how long deliveries are kept.
        poster: posts.
        registry: where its metrics are.
    """

    def __init__(
        self,
        settings: Settings,
        webhooks: WebhookSettings,
        poster: Poster,
        registry: prometheus.CollectorRegistry,
    ) -> None:
        self._settings = settings
        self._most = webhooks.concurrency
        self._poster = poster
        self._retention = duration.seconds(webhooks.retention)
        self._prune_at = 0.0
        self._dice = random.Random()  # noqa: S311 - jitter is no secret
        self._attempts = prometheus.Counter(
            "webhook_attempts", "Attempts to deliver, by what came of them.", ["outcome"], registry=registry
        )
        for outcome in ("taken", "failed", "dead"):
            self._attempts.labels(outcome)

    async def run(self, stop: threading.Event) -> None:
        """Deliver until told to stop."""
        try:
            while not stop.is_set():
                try:
                    await self._serve(stop)
                except Exception as error:
                    if outage := _of_database(error):
                        log.warning("webhooks: the database: %s; nothing is lost, it is tried again", say(outage))
                    else:
                        log.exception("webhooks: delivering failed and begins anew")
                    await asyncio.sleep(AGAIN_SECONDS)
        finally:
            await self._poster.close()

    async def _serve(self, stop: threading.Event) -> None:
        name = "worker webhooks"
        session = await psycopg.AsyncConnection.connect(
            self._settings.database_url, autocommit=True, application_name=name, **database.KEEPALIVE
        )
        async with session, asyncio.TaskGroup() as tasks:
            await session.execute(database.PIN)
            serving: set[asyncio.Task[None]] = set()
            while not stop.is_set():
                await self._prune(session)
                free = self._most - len(serving)
                for endpoint in await deliveries.claim(session, free) if free else ():
                    task = tasks.create_task(self._queue(session, endpoint, stop))
                    serving.add(task)
                    task.add_done_callback(serving.discard)
                await asyncio.sleep(LOOK_SECONDS)

    async def _queue(self, session: Session, endpoint: int, stop: threading.Event) -> None:
        """Deliver what is due in one queue."""
        for _ in range(BURST):
            due = None if stop.is_set() else await deliveries.next_due(session, endpoint)
            if due is None:
                break
            answer = await self._post(due)
            fate = self._decide(due, answer)
            await deliveries.record(session, endpoint, due, answer, fate)
            self._tell(endpoint, due, answer, fate)
        await deliveries.release(session, endpoint)

    async def _post(self, due: Due) -> Answer:
        try:
            headers = signature.headers(due.id, int(time.time()), due.body, due.secrets)
        except ValueError as error:
            return Answer(None, str(error))
        return await self._poster.post(due.url, headers, due.body, allow_private=due.allow_private)

    def _decide(self, due: Due, answer: Answer) -> Fate:
        return decide(
            answer,
            attempts=due.attempts + 1,
            failures=due.failures,
            failing_for=due.failing_for,
            chance=self._dice.random(),
        )

    def _tell(self, endpoint: int, due: Due, answer: Answer, fate: Fate) -> None:
        self._attempts.labels("taken" if answer.taken else "dead" if fate.dead else "failed").inc()
        if fate.disable:
            log.error(
                "webhook endpoint %d is disabled: %s; what is for it is kept: python -m app_integration webhook enable "
                "%d",
                *(endpoint, fate.disable, endpoint),
            )
        if fate.dead:
            log.error(
                "webhook %s for endpoint %d is given up after attempt %d: %s",
                *(due.id, endpoint, due.attempts + 1, answer.error),
            )
        elif not answer.taken:
            log.warning(
                "webhook %s for endpoint %d failed, attempt %d, next in %.0f s: %s",
                *(due.id, endpoint, due.attempts + 1, fate.seconds or 0, answer.error),
            )

    async def _prune(self, session: Session) -> None:
        if time.monotonic() >= self._prune_at:
            self._prune_at = time.monotonic() + PRUNE_SECONDS
            if rows := await deliveries.prune(session, self._retention):
                log.info("webhooks: %d deliveries were old enough to go", rows)


def _of_database(error: Exception) -> psycopg.Error | None:
    """Give the error of the database that this is: alone, or of several queues at once and of nothing else."""
    if isinstance(error, ExceptionGroup):
        ours, others = error.split(psycopg.Error)
        return None if ours is None or others is not None else _of_database(ours.exceptions[0])
    return error if isinstance(error, psycopg.Error) else None


@contextmanager
def delivering(
    settings: Settings, registry: prometheus.CollectorRegistry, webhooks: WebhookSettings, poster: Poster | None = None
) -> Iterator[None]:
    """Deliver in a thread until the block ends."""
    stop = threading.Event()

    def work() -> None:
        # The pools belong to the loop that first uses them.
        asyncio.run(Deliverer(settings, webhooks, poster or Poster(), registry).run(stop))

    thread = threading.Thread(target=work, name="webhooks")
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
