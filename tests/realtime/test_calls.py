"""Calls between servers: the two who speak hear of it, in order, and nobody else does."""

import asyncio
from typing import Any

from tests.realtime.world import ANSWER, OFFER, Server, Tab, World, ring, tab

Servers = tuple[Server, Server]


def candidate(number: int) -> dict[str, Any]:
    return {"candidate": f"candidate:{number} 1 udp 2122 192.0.2.1 5000 typ host", "sdpMid": "0", "sdpMLineIndex": 0}


def calls_of(client: Tab) -> list[str]:
    return [event for event, _ in client.events if event.startswith("call:")]


def test_a_call_goes_from_one_server_to_the_other_and_only_its_two_sides_hear_of_it(
    world: World, servers: Servers
) -> None:
    ada, emmy, eve = world.user(), world.user(), world.user()
    world.course(ada, emmy, eve)

    async def call() -> None:
        async with (
            tab(servers[0], ada) as caller,
            tab(servers[1], emmy) as taker,
            tab(servers[0], emmy) as other_tab,
            tab(servers[1], eve) as stranger,
            tab(servers[0], ada) as callers_other_tab,
        ):
            invited = await caller.ask("call:invite", to=emmy, media="video", offer=OFFER)
            call_id = invited["callId"]
            # At once, before the offer can have come anywhere: they come after it all the same.
            for number in range(3):
                await caller.ask("call:candidate", callId=call_id, candidate=candidate(number))
            for client in (taker, other_tab):
                rings = await client.told("call:incoming", callId=call_id)
                assert (rings["from"], rings["media"], rings["offer"]) == (ada, "video", OFFER)
                await client.until(lambda c=client: len(c.of("call:candidate")) == 3, "3 candidates")  # type: ignore[misc]
                assert [told["candidate"] for told in client.of("call:candidate")] == [candidate(n) for n in range(3)]
                assert calls_of(client) == ["call:incoming", *["call:candidate"] * 3]

            await taker.ask("call:answer", callId=call_id, answer=ANSWER)
            await taker.ask("call:candidate", callId=call_id, candidate=candidate(7))
            assert (await caller.told("call:candidate", callId=call_id))["candidate"] == candidate(7)
            assert calls_of(caller) == ["call:answered", "call:candidate"]
            assert caller.of("call:answered") == [{"callId": call_id, "answer": ANSWER}]
            assert (await other_tab.told("call:ended", callId=call_id))["why"] == "answered_elsewhere"

            for outsider in (stranger, other_tab, callers_other_tab):
                for event, more in (
                    ("call:candidate", {"candidate": candidate(9)}),
                    ("call:hangup", {}),
                    ("call:answer", {"answer": ANSWER}),
                ):
                    error = await outsider.refused(event, callId=call_id, **more)
                    assert error["code"] in {"no_such_call", "call_state"}

            await caller.ask("call:candidate", callId=call_id, candidate=candidate(4))
            await taker.told("call:candidate", candidate=candidate(4))
            await taker.ask("call:hangup", callId=call_id)
            for client in (caller, taker):
                ended = await client.told("call:ended", callId=call_id)
                assert (ended["why"], ended["by"]) == ("hung_up", emmy)
            assert (await caller.refused("call:hangup", callId=call_id))["code"] == "call_over"
            assert calls_of(stranger) == calls_of(callers_other_tab) == []
            assert len(other_tab.of("call:candidate")) == 3

    asyncio.run(call())
    assert not world.execute("select 1 from realtime.call_party where user_id in (%s, %s)", ada, emmy)


def test_a_call_is_declined_taken_back_or_refused_for_a_reason(world: World, servers: Servers) -> None:
    ada, emmy, sofja, stranger, away = (world.user() for _ in range(5))
    world.course(ada, emmy, sofja, away)

    async def call() -> None:
        async with tab(servers[0], ada) as one, tab(servers[1], emmy) as other, tab(servers[1], sofja) as third:
            call_id = await ring(one, other, emmy)
            # Whoever rings or is rung is busy, on whatever server one asks.
            assert (await third.refused("call:invite", to=emmy, media="voice", offer=OFFER))["code"] == "busy"
            assert (await third.refused("call:invite", to=ada, media="voice", offer=OFFER))["code"] == "busy"
            assert (await one.refused("call:invite", to=sofja, media="voice", offer=OFFER))["code"] == "in_a_call"
            await other.ask("call:hangup", callId=call_id)
            assert (await one.told("call:ended", callId=call_id))["why"] == "declined"

            call_id = await ring(one, other, emmy)
            await one.ask("call:hangup", callId=call_id)
            assert (await other.told("call:ended", callId=call_id))["why"] == "cancelled"
            assert (await other.refused("call:answer", callId=call_id, answer=ANSWER))["code"] == "call_over"

            for to, code in ((ada, "invalid"), (stranger, "forbidden"), (away, "offline")):
                assert (await one.refused("call:invite", to=to, media="voice", offer=OFFER))["code"] == code

    asyncio.run(call())


def test_a_call_that_nobody_answers_ends_and_one_whose_tab_is_closed_too(world: World, servers: Servers) -> None:
    ada, emmy = world.user(), world.user()
    world.course(ada, emmy)
    impatient = world.server(REALTIME_RING_SECONDS="1")

    async def call() -> None:
        async with tab(servers[1], emmy) as other:
            async with tab(impatient, ada) as one:
                call_id = await ring(one, other, emmy)
                for client in (one, other):
                    assert (await client.told("call:ended", callId=call_id))["why"] == "no_answer"
            async with tab(servers[0], ada) as one:
                call_id = await ring(one, other, emmy)
                await other.ask("call:answer", callId=call_id, answer=ANSWER)
            assert (await other.told("call:ended", callId=call_id))["why"] == "connection_lost"

    asyncio.run(call())
