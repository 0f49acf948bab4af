"""Chat: stored and announced in one transaction, to clients of every server, once and in the order of the commits."""

import asyncio
from uuid import uuid4

from tests.realtime.world import Server, Tab, World, tab

Servers = tuple[Server, Server]


def numbers(entries: list[dict[str, object]]) -> list[object]:
    return [entry["sequence"] for entry in entries]


def test_what_is_said_on_one_server_reaches_the_clients_of_both_and_is_stored(world: World, servers: Servers) -> None:
    ada, emmy = world.user(), world.user()
    room = world.course(ada, emmy)

    async def talk() -> None:
        async with tab(servers[0], ada) as one, tab(servers[1], emmy) as other:
            await one.ask("join", room=room)
            await other.ask("join", room=room)
            said = await one.ask("chat:send", room=room, text="<b>Grüße</b> & 你好", clientId="a-1")
            for client in (one, other):
                heard = await client.told("chat", text="<b>Grüße</b> & 你好")
                assert heard == said["message"]
                assert heard["contentType"] == "text/plain; charset=utf-8"

    asyncio.run(talk())
    stored = world.execute("select author, body ->> 'text' from realtime.entry where room = %s", room)
    assert stored == [(ada, "<b>Grüße</b> & 你好")]
