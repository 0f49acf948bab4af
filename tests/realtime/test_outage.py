"""While the database or Kafka is away clients are told so, or served as far as can be; then everything goes on."""

import asyncio
import json
import re
from pathlib import Path

import aiohttp
from confluent_kafka.admin import AdminClient

from app_integration.realtime.migrate import upgrade
from relay import migrate as outbox
from relay.local.process import free_port
from tests import services
from tests.conftest import MakeTopic, OwnKafka, OwnPostgres
from tests.realtime.world import SECONDS, Server, World, tab


def test_without_its_database_a_server_says_so_and_goes_on_when_it_is_back(
    own_postgres: OwnPostgres, kafka_brokers: str, make_topic: MakeTopic, tmp_path: Path
) -> None:
    postgres = own_postgres()
    outbox.upgrade(postgres.url())
    upgrade(postgres.url())
    world = World(postgres.url(), kafka_brokers, make_topic(), tmp_path)
    ada = world.user()
    room = world.course(ada)
    try:
        server = world.server()

        async def talk() -> None:
            async with tab(server, ada) as client:
                await client.ask("join", room=room)
                await asyncio.to_thread(postgres.crash)
                error = await client.refused("chat:send", room=room, text="lost", clientId="1")
                assert error["code"] == "unavailable"
                await asyncio.to_thread(postgres.start)
                answer = await client.try_("chat:send", {"room": room, "text": "kept", "clientId": "2"})
                while not answer["ok"]:
                    assert answer["error"]["code"] in {"unavailable", "rate_limited"}, answer
                    answer = await client.try_("chat:send", {"room": room, "text": "kept", "clientId": "2"})
                assert answer["message"]["sequence"] == 1

        asyncio.run(talk())
        assert "Traceback" not in server.log
        assert "for dead" not in server.log
    finally:
        world.close()


def test_without_kafka_clients_stay_and_what_they_write_is_stored_and_told_when_it_is_back(
    database: str, own_kafka: OwnKafka, tmp_path: Path
) -> None:
    # One of its own: the relay of the other tests would take half of what is to go to this Kafka to another.
    upgrade(database)
    kafka = own_kafka()
    admin = AdminClient({"bootstrap.servers": kafka.brokers, "log_level": 0})
    world = World(database, kafka.brokers, services.create_topic(admin, 2, {}), tmp_path)
    ada, emmy = world.user(), world.user()
    room = world.course(ada, emmy)
    port = free_port()
    try:
        world.relay()
        server = world.server(REALTIME_METRICS_PORT=str(port))

        async def talk() -> None:
            async with tab(server, ada) as one, tab(server, emmy) as other:
                for client in (one, other):
                    await client.ask("join", room=room)
                await one.ask("chat:send", room=room, text="before")
                await other.told("chat", text="before")
                await asyncio.to_thread(kafka.stop)
                assert (await one.ask("chat:send", room=room, text="meanwhile"))["message"]["sequence"] == 2
                await one.ask("typing", room=room)  # lost, which the log tells and nobody misses
                assert [entry["text"] for entry in (await other.ask("history", room=room))["entries"]] == [
                    "before",
                    "meanwhile",
                ]
                await until_ready_says(server, kafka=False)
                assert "realtime_kafka_away 1.0" in await get(f"http://127.0.0.1:{port}/metrics")
                await asyncio.to_thread(kafka.start)
                await other.told("chat", text="meanwhile")
                await one.ask("chat:send", room=room, text="after")
                await other.told("chat", text="after")
                assert [entry["sequence"] for entry in other.of("chat")] == [1, 2, 3]
                assert not one.of("gone")
                assert not other.of("gone")
                await one.refused("chat:send", room="course:of-others", text="x")
                await until_ready_says(server, kafka=True)
                shown = await get(f"http://127.0.0.1:{port}/metrics")
                for line in (
                    "realtime_clients 2.0",
                    'realtime_requests_total{event="chat:send"} 3.0',
                    'realtime_refused_total{reason="not_joined"} 1.0',
                    'realtime_sent_total{event="chat"} 6.0',
                    'realtime_records_total{kind="chat",outcome="told"} 3.0',
                    "realtime_kafka_away 0.0",
                    "realtime_database_away 0.0",
                ):
                    assert line in shown, shown
                assert re.search(r'realtime_lag{partition="[01]"} 0\.0', shown)
                assert await get(f"{server.url}/livez") == '{"ok": true}'

        asyncio.run(talk())
        assert "Traceback" not in server.log
    finally:
        world.close()


async def get(url: str) -> str:
    async with aiohttp.ClientSession() as session, session.get(url) as answer:
        assert answer.status == 200
        return await answer.text()


async def until_ready_says(server: Server, **expected: bool) -> None:
    """Wait until `/readyz` says something; it is 200 all along."""
    async with asyncio.timeout(SECONDS):
        while not expected.items() <= json.loads(await get(f"{server.url}/readyz")).items():  # noqa: ASYNC110 - asked
            await asyncio.sleep(0.1)


def test_old_entries_go_and_the_numbers_go_on(world: World) -> None:
    ada = world.user()
    room = world.course(ada)
    for _ in range(3):
        world.execute("select realtime.post(%s, 'lesson', '{}')", room)
    old = "update realtime.entry set created_at = now() - interval '2 hours' where room = %s and sequence < 3"
    world.execute(old, room)
    server = world.server(REALTIME_RETENTION="1h")
    server.wait_for_count("old enough to go", 1)

    async def read() -> None:
        async with tab(server, ada) as client:
            joined = await client.ask("join", room=room, feedAfter=0)
            assert [entry["sequence"] for entry in joined["feed"]["entries"]] == [3]
            world.execute("select realtime.post(%s, 'lesson', '{}')", room)
            assert (await client.told("feed"))["sequence"] == 4

    asyncio.run(read())
    server.process.end()
