"""The composition root of one server: what is started in which order, and stopped in the other.

Guarantees: nobody can connect before the topic is read from a known place, so nothing between is missed; when the
server is asked to stop, its users go offline and its calls end before it is gone; when the topic cannot be read any
more the server ends, for its clients would wait in vain.
"""

import asyncio
import contextlib
import json
import logging
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from importlib import import_module
from typing import Any
from uuid import uuid4

import prometheus_client as prometheus
import psycopg
import socketio
import uvicorn
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from app_integration.kafka_variables import judged_by_the_client
from app_integration.metrics_port import served
from app_integration.realtime.clients import Clients
from app_integration.realtime.desk import Desk
from app_integration.realtime.dispatch import Dispatch
from app_integration.realtime.door import Door
from app_integration.realtime.ephemeral import Ephemeral
from app_integration.realtime.gate import Application, Event, Gate, Receive, Send
from app_integration.realtime.keeper import Keeper
from app_integration.realtime.migrate import MIGRATIONS
from app_integration.realtime.outlet import Outlet
from app_integration.realtime.place import Place
from app_integration.realtime.policy import Enrolment, Policy
from app_integration.realtime.rooms import Rooms
from app_integration.realtime.server import Answers, make_server
from app_integration.realtime.settings import KAFKA, Settings
from app_integration.realtime.telemetry import Standing, Telemetry
from app_integration.realtime.topic import Topic
from relay.errors import UserMistake, WorkFailed

log = logging.getLogger("app_integration.realtime")

POOL_SECONDS = 5.0
"""For a connection to become free, and for a statement; then the client is told to try again."""

FEWEST_CONNECTIONS, MOST_CONNECTIONS = 2, 10
STOP_SECONDS = 5


async def serve(settings: Settings, host: str, port: int) -> None:
    """Serve until asked to stop.

    Args:
        settings: the server's.
        host: the address to listen at.
        port: the port; 0 for a free one, which the log tells.

    Raises:
        UserMistake: the database has no schema `realtime`, or another one, or the policy cannot be had.
        WorkFailed: the database or Kafka does not answer, or the topic can be read no more.
    """
    async with AsyncExitStack() as running:
        pool = await running.enter_async_context(_database(settings))
        with judged_by_the_client(KAFKA):
            topic = Topic(settings, asyncio.get_running_loop())
        running.push_async_callback(topic.close)
        await asyncio.to_thread(topic.open)
        ephemeral = Ephemeral(settings)
        running.callback(ephemeral.close)
        registry = prometheus.CollectorRegistry()
        telemetry, server = Telemetry(registry), make_server(settings)
        outlet = Outlet(server, settings.limits.queue, telemetry)
        place = Place(settings, pool, Clients(), outlet, ephemeral, _policy(settings, pool), telemetry, uuid4())
        door, rooms, desk = Door(place), Rooms(place), Desk(place)
        Answers(server, place, door, rooms, desk)
        keeper, dispatch = Keeper(place, door, desk), Dispatch(place, rooms, desk)
        await keeper.register()
        running.push_async_callback(_retire, keeper)
        registry.register(_standing(place, keeper, topic))
        running.enter_context(served(settings.metrics_port, registry, "REALTIME_METRICS_PORT"))
        health = _health(place, keeper, topic)
        listener = _listener(socketio.ASGIApp(server, other_asgi_app=health), settings, host, port)
        await _until_stopped(listener, topic, [dispatch.run(topic), dispatch.run_presence(), keeper.run()])


async def _until_stopped(listener: "Listener", topic: Topic, work: list[Any]) -> None:
    """Listen, with everything else beside it; whatever ends by itself ends all."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, listener.stop)
    listening = loop.create_task(listener.serve())
    tasks = [loop.create_task(each) for each in work]
    await asyncio.wait([listening, topic.ended, *tasks], return_when=asyncio.FIRST_COMPLETED)
    ended = [task for task in (topic.ended, *tasks) if task.done()]
    listener.stop()
    with contextlib.suppress(SystemExit):  # uvicorn's word for a port that is taken, which it has logged
        await listening
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    if ended:
        raise WorkFailed(f"the server ended, for a part of it did: {ended[0].exception()!r}")
    if not listener.started:
        raise WorkFailed("the address cannot be listened at; is another server there?")


async def _retire(keeper: Keeper) -> None:
    try:
        await keeper.retire()
    except (psycopg.Error, PoolTimeout) as error:
        log.warning("the database does not answer: other servers will find out that this one has ended: %s", error)


@asynccontextmanager
async def _database(settings: Settings) -> AsyncIterator[AsyncConnectionPool]:
    logging.getLogger("psycopg.pool").setLevel(logging.ERROR)  # it tells of each attempt; we tell of what it means
    pool = AsyncConnectionPool(
        settings.database_url,
        min_size=FEWEST_CONNECTIONS,
        max_size=MOST_CONNECTIONS,
        timeout=POOL_SECONDS,
        check=AsyncConnectionPool.check_connection,
        open=False,
        kwargs={
            # A read is a statement and no more; what must be one transaction says so.
            "autocommit": True,
            "application_name": f"realtime {settings.name}"[:63],
            "options": f"-c statement_timeout={POOL_SECONDS:.0f}s -c idle_in_transaction_session_timeout=30s",
            "connect_timeout": 5,
        },
    )
    try:
        await pool.open(wait=True, timeout=2 * POOL_SECONDS)
    except PoolTimeout as error:
        await pool.close()
        raise WorkFailed(f"the database does not answer, or refuses: {error}") from None
    async with pool:
        await _demand_schema(pool)
        yield pool


async def _demand_schema(pool: AsyncConnectionPool) -> None:
    async with pool.connection() as connection:
        try:
            row = await (await connection.execute(MIGRATIONS.read_revision)).fetchone()
        except psycopg.Error as error:
            MIGRATIONS.without_revision(error)
            row = None
    MIGRATIONS.judge(row[0] if row else None)


def _policy(settings: Settings, pool: AsyncConnectionPool) -> Policy:
    if not settings.policy:
        return Enrolment(pool)
    module, _, name = settings.policy.partition(":")
    try:
        make: Callable[[AsyncConnectionPool], Policy] = getattr(import_module(module), name)
        return make(pool)
    except (ImportError, AttributeError, TypeError) as error:
        raise UserMistake(f"REALTIME_POLICY is {settings.policy}, which cannot be used: {error}") from None


class Listener(uvicorn.Server):
    """uvicorn, whose signals are ours: it would end the program before anything is cleared up."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals alone."""
        yield

    def stop(self) -> None:
        """Stop listening, and close what is open."""
        self.should_exit = True

    async def startup(self, sockets: Any = None) -> None:
        """Begin to listen, and say where."""
        await super().startup(sockets)
        for server in self.servers:
            for socket in server.sockets:
                host, port = socket.getsockname()[:2]
                log.info("real time is served at http://%s:%d", host, port)


def _standing(place: Place, keeper: Keeper, topic: Topic) -> Standing:
    return Standing(
        clients=lambda: len(place.clients),
        rooms=lambda: place.clients.rooms,
        lag=lambda: topic.lag,
        kafka_away=lambda: topic.away,
        database_away=lambda: not keeper.healthy,
    )


def _health(place: Place, keeper: Keeper, topic: Topic) -> Application:
    """Answer `/livez` while this program turns, and `/readyz` while clients are served.

    A Kafka that is away is told and not held against the server: clients stay, what they write is stored, and what is
    stored is announced when Kafka is back; to send them elsewhere would help nobody, for it is away there too.
    """

    def told(path: str) -> tuple[int, dict[str, Any]]:
        if path == "/livez":
            return 200, {"ok": True}
        if path != "/readyz":
            return 404, {}
        good = keeper.healthy and not topic.ended.done()
        state = {"database": keeper.healthy, "kafka": not topic.away, "clients": len(place.clients)}
        return 200 if good else 503, {"ok": good, "server": place.settings.name, **state}

    async def health(scope: Event, _: Receive, send: Send) -> None:
        status, body = told(scope["path"]) if scope["type"] == "http" else (404, {})
        headers = [(b"content-type", b"application/json"), (b"cache-control", b"no-store")]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": json.dumps(body).encode()})

    return health


def _listener(application: Application, settings: Settings, host: str, port: int) -> Listener:
    limits = settings.limits
    return Listener(
        uvicorn.Config(
            Gate(application, limits.frame_bytes),
            host=host,
            port=port,
            lifespan="off",
            log_config=None,
            log_level=logging.WARNING,
            access_log=False,
            server_header=False,
            ws="websockets-sansio",
            ws_max_size=limits.frame_bytes,
            # Compression costs a context for each client, and each message once for each of them.
            ws_per_message_deflate=False,
            timeout_graceful_shutdown=STOP_SECONDS,
        )
    )
