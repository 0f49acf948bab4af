"""`python -m app_integration realtime`, as an operator meets it, and what can be set."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import aiohttp
import psycopg
from psycopg_pool import AsyncConnectionPool

from app_integration.realtime.policy import Enrolment
from app_integration.tokens import make_token
from tests.realtime.world import SECONDS, SECRET, Tab, World, tab

REPOSITORY = Path(__file__).parents[2]


def realtime(*arguments: str, **variables: str) -> "subprocess.CompletedProcess[str]":
    """Run the command to its end. A traceback is never an answer."""
    names = ("DATABASE_URL", "KAFKA_BROKERS", "JWT_SECRET")
    kept = {name: value for name, value in os.environ.items() if name not in names}
    done = subprocess.run(
        [sys.executable, "-m", "app_integration", "realtime", *arguments],
        env={**kept, "PYTHONPATH": str(REPOSITORY), **variables},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert "Traceback" not in done.stderr, done.stderr
    return done


def test_the_schema_is_made_once_and_only_beside_an_outbox(database: str, empty_database: str) -> None:
    for _ in range(2):
        assert realtime("migrate", DATABASE_URL=database).stdout == "the real-time schema is current\n"
    refused = realtime("migrate", DATABASE_URL=empty_database)
    assert (refused.returncode, "relay migrate" in refused.stderr) == (2, True)
    # As an application would: admitted with what makes it right, or not at all.
    with psycopg.connect(database) as connection:
        connection.execute("select realtime.admit('course:1', 'ada')")
        connection.rollback()
        assert connection.execute("select count(*) from realtime.membership").fetchone() == (0,)


def test_a_server_that_cannot_serve_says_what_to_do(world: World, empty_database: str) -> None:
    settings = {"DATABASE_URL": world.database_url, "KAFKA_BROKERS": world.brokers, "JWT_SECRET": SECRET}
    for change, code, words in (
        ({"DATABASE_URL": empty_database}, 2, "realtime migrate"),
        ({"REALTIME_TOPIC": "no-such-topic"}, 1, "relay topics --create"),
        ({"REALTIME_TOPIC": world.topic, "REALTIME_POLICY": "no.such:policy"}, 2, "REALTIME_POLICY"),
    ):
        done = realtime("--port", "0", **{**settings, **change})
        assert (done.returncode, words in done.stderr) == (code, True), done.stderr


class Anybody:
    """A policy that lets everybody into every room, and nobody call."""

    async def may_join(self, user_id: str, room: str) -> bool:
        """Yes."""
        assert user_id
        return room.startswith("lobby:")

    async def may_call(self, caller: str, callee: str) -> bool:
        """No."""
        assert caller
        assert callee
        return False


def make_policy(pool: AsyncConnectionPool) -> Anybody:
    """Make it, as `REALTIME_POLICY` names it."""
    assert pool
    return Anybody()


class Hesitant(Enrolment):
    """The usual policy, which thinks its answer over for those who are in the room `course:wait`."""

    def __init__(self, pool: AsyncConnectionPool) -> None:
        super().__init__(pool)
        self._waits = pool

    async def may_join(self, user_id: str, room: str) -> bool:
        """Look, and wait until the user has left `course:wait`; meanwhile they are in `course:asked`."""
        found = await super().may_join(user_id, room)
        async with self._waits.connection() as connection:
            waiting = "select 1 from realtime.membership where room = 'course:wait' and user_id = %s"
            while (await connection.execute(waiting, (user_id,))).rowcount:
                await connection.execute("select realtime.admit('course:asked', %s)", (user_id,))
                await asyncio.sleep(0.02)
        return found


def test_who_is_expelled_while_the_rule_is_asked_does_not_get_in(world: World) -> None:
    server = world.server(REALTIME_POLICY="tests.realtime.test_command:Hesitant")
    ada = world.user()
    room = world.course(ada)
    asked = "select 1 from realtime.membership where room = 'course:asked' and user_id = %s"

    async def visit() -> None:
        async with tab(server, ada) as one, tab(server, ada) as other:
            await one.ask("join", room=room)
            world.execute("select realtime.admit('course:wait', %s)", ada)
            joining = asyncio.create_task(other.try_("join", {"room": room}))
            async with asyncio.timeout(SECONDS):
                while not world.execute(asked, ada):  # noqa: ASYNC110 - another process says so, in the database
                    await asyncio.sleep(0.02)
            world.execute("select realtime.expel(%s, %s)", room, ada)
            await one.told("room:left", room=room)
            world.execute("delete from realtime.membership where room = 'course:wait' and user_id = %s", ada)
            assert (await joining)["error"]["code"] == "forbidden"
            assert (await other.refused("history", room=room))["code"] == "not_joined"

    asyncio.run(visit())
    server.process.end()


def test_an_application_sets_its_own_rule_transport_and_origins(world: World) -> None:
    server = world.server(
        REALTIME_POLICY="tests.realtime.test_command:make_policy",
        REALTIME_TRANSPORTS="websocket,polling",
        REALTIME_ORIGINS="https://school.example",
    )
    offer = {"type": "offer", "sdp": ""}

    async def visit() -> None:
        async with aiohttp.ClientSession() as session:
            for origin, status in (("https://evil.example", 400), ("https://school.example", 200)):
                address = server.url + "/socket.io/?EIO=4&transport=polling"
                async with session.get(address, headers={"Origin": origin}) as answer:
                    assert answer.status == status
        client = Tab(server, None)
        auth = {"token": make_token("ada", SECRET)}
        await client.client.connect(server.url, auth=auth, transports=["polling"], wait_timeout=30)
        await client.ask("join", room="lobby:1")
        assert (await client.refused("join", room="course:1"))["code"] == "forbidden"
        await client.ask("chat:send", room="lobby:1", text="by long polling")
        await client.told("chat", text="by long polling")
        assert (await client.refused("call:invite", to="emmy", media="voice", offer=offer))["code"] == "forbidden"
        await client.client.shutdown()

    asyncio.run(visit())
    server.process.end()
