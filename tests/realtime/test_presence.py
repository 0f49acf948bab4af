"""Who is there: with several tabs, on several servers, and after a server was killed."""

import asyncio
import signal

from tests.realtime.world import ANSWER, Server, Tab, World, ring, tab

Servers = tuple[Server, Server]


async def sees(client: Tab, room: str, user: str, *, online: bool) -> None:
    """Wait until the last that a client was told of a user is that they are there, or not."""

    def last() -> bool | None:
        told = [
            change["online"]
            for body in client.of("presence")
            if body["room"] == room
            for change in body["users"]
            if change["userId"] == user
        ]
        return told[-1] if told else None

    await client.until(lambda: last() is online, f"{user} {'online' if online else 'offline'} in {room}")


def test_a_user_is_there_until_the_last_tab_on_any_server_is_closed(world: World, servers: Servers) -> None:
    ada, emmy = world.user(), world.user()
    room = world.course(ada, emmy)

    async def watch() -> None:
        async with tab(servers[0], ada) as watcher:
            await watcher.ask("join", room=room)
            async with tab(servers[1], emmy) as second:
                async with tab(servers[0], emmy) as first:
                    await first.ask("join", room=room)
                    await second.ask("join", room=room)
                    await sees(watcher, room, emmy, online=True)
                # One tab is left, and says so: nobody was told otherwise.
                await second.ask("typing", room=room)
                await watcher.told("typing", userId=emmy)
                present = await watcher.ask("presence", room=room)
                assert {user["userId"] for user in present["users"]} == {ada, emmy}
            await sees(watcher, room, emmy, online=False)
            assert (await watcher.ask("presence", room=room))["count"] == 1
            told = [change for body in watcher.of("presence") for change in body["users"] if change["userId"] == emmy]
            assert [change["online"] for change in told] == [True, False]

    asyncio.run(watch())


def test_users_of_a_killed_server_go_offline_unless_they_have_a_tab_elsewhere_and_its_calls_end(
    world: World, servers: Servers
) -> None:
    ada, emmy, sofja = world.user(), world.user(), world.user()
    room = world.course(ada, emmy, sofja)
    doomed = world.server()

    async def watch() -> None:
        async with tab(servers[0], ada) as watcher, tab(servers[1], sofja) as spare:
            for client in (watcher, spare):
                await client.ask("join", room=room)
            async with tab(doomed, emmy) as lost, tab(doomed, sofja) as other:
                for client in (lost, other):
                    await client.ask("join", room=room)
                await sees(watcher, room, emmy, online=True)
                call_id = await ring(watcher, lost, emmy)
                await lost.ask("call:answer", callId=call_id, answer=ANSWER)
                doomed.process.end()
                await sees(watcher, room, emmy, online=False)
                assert (await watcher.told("call:ended", callId=call_id))["why"] == "connection_lost"
            present = await watcher.ask("presence", room=room)
            assert {user["userId"] for user in present["users"]} == {ada, sofja}
            await ring(watcher, spare, sofja)  # nobody is left busy

    asyncio.run(watch())


def test_a_server_that_was_taken_for_dead_lets_its_clients_go_serves_on_and_stops_in_order(
    world: World, servers: Servers
) -> None:
    ada, emmy = world.user(), world.user()
    room = world.course(ada, emmy)
    frozen = world.server()

    async def watch() -> None:
        async with tab(servers[0], ada) as watcher:
            await watcher.ask("join", room=room)
            async with tab(frozen, emmy) as client:
                await client.ask("join", room=room)
                await sees(watcher, room, emmy, online=True)
                frozen.process.send(signal.SIGSTOP)
                await sees(watcher, room, emmy, online=False)
                frozen.process.send(signal.SIGCONT)
                await client.until(lambda: bool(client.of("gone")), "let go")
            async with tab(frozen, emmy) as client:
                await client.ask("join", room=room)
                await sees(watcher, room, emmy, online=True)
                await asyncio.to_thread(frozen.process.end, signal.SIGTERM)
                assert "has stopped" in frozen.log, frozen.log
                await sees(watcher, room, emmy, online=False)

    asyncio.run(watch())
    assert not world.execute("select from realtime.attendance join realtime.server on id = server_id where ended")
