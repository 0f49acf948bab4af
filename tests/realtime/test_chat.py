"""Chat: stored and announced in one transaction, to clients of every server, once and in the order of the commits."""

import asyncio
from typing import Any

import psycopg
from psycopg.types.json import Jsonb

from tests.realtime.world import Server, Tab, World, tab

Servers = tuple[Server, Server]


def numbers(entries: list[dict[str, Any]]) -> list[int]:
    return [entry["sequence"] for entry in entries]


async def heard_up_to(client: Tab, joined: dict[str, Any], last: int) -> list[int]:
    """All numbers of a room's chat that a client has, from history and live, once it has the last."""
    await client.told("chat", sequence=last)
    return numbers(joined["chat"]["entries"] + client.of("chat"))


def test_what_is_said_on_one_server_reaches_the_clients_of_both_and_is_stored_as_text(
    world: World, servers: Servers
) -> None:
    ada, emmy = world.user(), world.user()
    room, text = world.course(ada, emmy), "<script>alert('Grüße')</script> & 你好"

    async def talk() -> None:
        async with tab(servers[0], ada) as one, tab(servers[1], emmy) as other:
            await one.ask("join", room=room)
            await other.ask("join", room=room)
            said = await one.ask("chat:send", room=room, text=text, clientId="a-1")
            for client in (one, other):
                heard = await client.told("chat", text=text)
                assert heard == said["message"]
                assert heard["contentType"] == "text/plain; charset=utf-8"

    asyncio.run(talk())
    assert world.execute("select author, body ->> 'text' from realtime.entry where room = %s", room) == [(ada, text)]


def test_history_and_live_meet_without_a_gap_or_a_double_while_others_talk(world: World, servers: Servers) -> None:
    users = [world.user() for _ in range(3)]
    room = world.course(*users)

    async def talk() -> None:
        async with tab(servers[0], users[0]) as one, tab(servers[1], users[1]) as other:
            for speaker in (one, other):
                await speaker.ask("join", room=room)
            listening: list[list[int]] = []

            async def say(speaker: Tab, count: int) -> None:
                for number in range(count):
                    # One who says it again, for the answer was lost, has said it once.
                    for _ in range(2 if number % 10 == 0 else 1):
                        await said(speaker, room, f"{number}")

            async def listen(server: Server) -> None:
                async with tab(server, users[2]) as client:
                    joined = await client.ask("join", room=room)
                    await done.wait()
                    listening.append(await heard_up_to(client, joined, 80))

            done = asyncio.Event()
            listeners = []
            async with asyncio.TaskGroup() as group:
                speaking = [group.create_task(say(speaker, 40)) for speaker in (one, other)]
                for turn in range(8):
                    listeners.append(group.create_task(listen(servers[turn % 2])))
                    await one.until(lambda turn=turn: len(one.of("chat")) > 5 * turn, "more was said")  # type: ignore[misc]
                await asyncio.gather(*speaking)
                done.set()
            for heard in listening:
                assert heard == list(range(heard[0], 81))
            assert len(listening) == 8
            for client in (one, other):
                assert numbers(client.of("chat")) == list(range(1, 81))

    asyncio.run(talk())


async def said(speaker: Tab, room: str, text: str) -> None:
    """Say something under a name of its own, slower where the rate asks for it."""
    name = f"{id(speaker)}-{text}"
    asked = {"room": room, "text": text, "clientId": name}
    while not (answer := await speaker.try_("chat:send", asked))["ok"]:  # noqa: ASYNC110 - the server says how long
        await asyncio.sleep(answer["error"]["retryAfterSeconds"])


def test_who_joins_while_kafka_is_behind_gets_nothing_twice(world: World, servers: Servers) -> None:
    ada, emmy = world.user(), world.user()
    room = world.course(ada, emmy)

    async def talk() -> None:
        async with tab(servers[0], ada) as one, tab(servers[1], emmy) as early, tab(servers[1], emmy) as late:
            await one.ask("join", room=room)
            await early.ask("join", room=room)
            world.pause_relay(paused=True)
            try:
                for text in ("1", "2", "3"):
                    await one.ask("chat:send", room=room, text=text)
                joined = await late.ask("join", room=room)
                assert numbers(joined["chat"]["entries"]) == [1, 2, 3]
            finally:
                world.pause_relay(paused=False)
            await one.ask("chat:send", room=room, text="4")
            assert await heard_up_to(late, joined, 4) == [1, 2, 3, 4]
            await early.told("chat", sequence=4)
            assert numbers(early.of("chat")) == [1, 2, 3, 4]

    asyncio.run(talk())


def test_what_kafka_lost_is_read_from_the_database(world: World, servers: Servers) -> None:
    ada = world.user()
    room = world.course(ada)

    async def talk() -> None:
        async with tab(servers[0], ada) as client:
            await client.ask("join", room=room)
            await client.ask("chat:send", room=room, text="first")
            # Stored, and never announced: what a topic looks like that was cut off by its retention.
            world.execute("update realtime.stream set last_sequence = 3 where room = %s and name = 'chat'", room)
            for number in (2, 3):
                world.execute(
                    "insert into realtime.entry (room, stream, sequence, id, author, body) "
                    "values (%s, 'chat', %s, gen_random_uuid(), %s, %s)",
                    *(room, number, ada, Jsonb({"text": f"lost {number}"})),
                )
            await client.ask("chat:send", room=room, text="last")
            await client.told("chat", text="last")
            assert [entry["text"] for entry in client.of("chat")] == ["first", "lost 2", "lost 3", "last"]

    asyncio.run(talk())


def test_history_is_read_in_pages_both_ways(world: World, servers: Servers) -> None:
    ada = world.user()
    room = world.course(ada)
    post = "select realtime.post(%s, 'lesson', jsonb_build_object('n', n)) from generate_series(1, 120) n"
    world.execute(post, room)

    async def read() -> None:
        async with tab(servers[0], ada) as client:
            newest = (await client.ask("join", room=room))["feed"]
            assert (numbers(newest["entries"]), newest["more"]) == (list(range(71, 121)), True)
            older = await client.ask("history", room=room, stream="feed", before=71, limit=70)
            assert (numbers(older["entries"]), older["more"]) == (list(range(1, 71)), False)
            # Who comes back says what it has had, and reads on until it has all that came before live.
            back = (await client.ask("join", room=room, feedAfter=10))["feed"]
            assert (numbers(back["entries"]), back["more"], back["sequence"]) == (list(range(11, 61)), True, 120)
            rest = await client.ask("history", room=room, stream="feed", after=60, limit=200)
            assert (numbers(rest["entries"]), rest["more"]) == (list(range(61, 121)), False)
            error = await client.refused("history", room=room, before=1, after=2)
            assert error["code"] == "invalid"

    asyncio.run(read())


def test_a_feed_tells_what_was_committed_and_nothing_that_was_rolled_back(world: World, servers: Servers) -> None:
    ada = world.user()
    room = world.course(ada)

    async def follow() -> None:
        async with tab(servers[1], ada) as client:
            await client.ask("join", room=room)
            with psycopg.connect(world.database_url) as connection:
                connection.execute("select realtime.post(%s, 'lesson', '{\"n\": 1}')", (room,))
                connection.rollback()
                connection.execute("select realtime.post(%s, 'lesson', '{\"n\": 2}', %s)", (room, ada))
            told = await client.told("feed")
            assert (told["sequence"], told["kind"], told["data"], told["userId"]) == (1, "lesson", {"n": 2}, ada)
            again = (await client.ask("join", room=room))["feed"]["entries"]
            assert again == [told]

    asyncio.run(follow())
