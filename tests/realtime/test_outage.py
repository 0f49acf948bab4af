"""While the database is away clients are told so, and everything goes on when it is back."""

import asyncio
from pathlib import Path

from app_integration.realtime.migrate import migrate
from relay import migrate as outbox
from tests.conftest import MakeTopic, OwnPostgres
from tests.realtime.world import World, tab


def test_without_its_database_a_server_says_so_and_goes_on_when_it_is_back(
    own_postgres: OwnPostgres, kafka_brokers: str, make_topic: MakeTopic, tmp_path: Path
) -> None:
    postgres = own_postgres()
    outbox.upgrade(postgres.url())
    migrate(postgres.url())
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
