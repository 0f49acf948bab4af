"""Who gets in, how much they may ask for, and what nonsense does: nothing to anybody else."""

import asyncio
import json
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import aiohttp
import jwt
import pytest
import socketio

from app_integration.realtime.requests import LONGEST_TEXT
from app_integration.realtime.settings import Limits
from app_integration.tokens import make_token
from tests.realtime.world import SECONDS, SECRET, Server, Tab, World, tab

Servers = tuple[Server, Server]


def signed(secret: str = SECRET, algorithm: str = "HS256", **claims: object) -> str:
    """Sign a token with something wrong in it."""
    now = int(time.time())
    # For a day: it is made long before it is used.
    ours = {"sub": "ada", "iss": "edu-matrix", "aud": "edu-matrix", "iat": now, "exp": now + 86_400}
    return jwt.encode({**ours, **claims}, secret if algorithm != "none" else "", algorithm=algorithm)


@pytest.mark.parametrize(
    ("token", "code"),
    [
        (None, "token_missing"),
        ("nonsense", "token_invalid"),
        (make_token("ada", SECRET, lifetime=timedelta(minutes=-1)), "token_expired"),
        (signed(secret="somebody else's secret, which is just as long"), "token_invalid"),
        (signed(secret="somebody else's secret, which is just as long", exp=1), "token_invalid"),
        (signed(algorithm="none"), "token_invalid"),
        (signed(algorithm="HS512"), "token_invalid"),
        (signed(aud="another-service"), "token_invalid"),
        (signed(iss="another-service"), "token_invalid"),
        (signed(sub="../course:1 *"), "token_invalid"),
    ],
)
def test_a_connection_without_a_good_token_is_refused_and_told_what_to_do(
    servers: Servers, token: str | None, code: str
) -> None:
    async def knock() -> None:
        refused = Tab(servers[0], token)
        with pytest.raises(socketio.exceptions.ConnectionError):
            await refused.open()
        told = refused.of("refused")[0]
        assert told["data"]["code"] == code
        assert "signature" not in str(told).lower()
        await refused.client.shutdown()

    asyncio.run(knock())


def test_a_connection_ends_when_its_token_does(world: World, servers: Servers) -> None:
    async def wait() -> None:
        # The leeway for clocks that differ is for presenting a token, not for staying.
        async with tab(servers[0], world.user(), timedelta(seconds=2)) as client:
            assert (await client.told("session:ended"))["code"] == "token_expired"
            await client.until(lambda: bool(client.of("gone")), "the end of the connection")

    asyncio.run(wait())


def test_nothing_of_a_room_reaches_who_is_not_in_it(world: World, servers: Servers) -> None:
    ada, emmy, eve = world.user(), world.user(), world.user()
    room, eves = world.course(ada, emmy), world.course(eve)
    asked: list[tuple[str, dict[str, Any]]] = [
        ("join", {"room": room}),
        ("join", {"room": f"user:{ada}"}),
        ("join", {"room": "call:7"}),
        ("chat:send", {"room": room, "text": "let me in"}),
        ("history", {"room": room}),
        ("history", {"room": f"user:{ada}"}),
        ("presence", {"room": room}),
        ("typing", {"room": room}),
        ("leave", {"room": room}),
    ]

    async def pry() -> None:
        async with tab(servers[0], ada) as one, tab(servers[1], emmy) as other, tab(servers[0], eve) as spy:
            await spy.ask("join", room=eves)
            for client in (one, other):
                await client.ask("join", room=room)
            for event, body in asked:
                error = await spy.try_(event, body)
                assert error.get("error", {}).get("code") in {"forbidden", "not_joined"}, (event, body)
            await one.ask("chat:send", room=room, text="a secret")
            await one.ask("typing", room=room)
            await other.told("chat", text="a secret")
            # Expelled, Emmy hears nothing more, on no server, and is not let in again.
            world.execute("select realtime.expel(%s, %s)", room, emmy)
            assert (await other.told("room:left"))["room"] == room
            await one.ask("chat:send", room=room, text="of us alone")
            await one.told("chat", text="of us alone")
            for event in ("join", "history", "chat:send"):
                more = {"text": "hello?"} if event == "chat:send" else {}
                assert (await other.refused(event, room=room, **more))["code"] in {"forbidden", "not_joined"}
            # Both have been through the server that told Ada: what was for them would have come by now.
            assert [body["text"] for body in other.of("chat")] == ["a secret"]
            assert {event for event, _ in spy.events} <= {"presence"}
            assert {body["room"] for body in spy.of("presence")} <= {eves, f"user:{eve}"}

    asyncio.run(pry())
    assert [text for (text,) in world.execute("select body->>'text' from realtime.entry where room = %s", room)] == [
        "a secret",
        "of us alone",
    ]


def test_what_is_too_large_too_much_or_no_sense_is_refused_by_its_name(world: World, servers: Servers) -> None:
    ada = world.user()
    room = world.course(ada)
    long = "x" * (LONGEST_TEXT + 1)
    refused: list[tuple[str, object, str, str | None]] = [
        ("chat:send", {"room": room, "text": long}, "too_large", "text"),
        ("chat:send", {"room": room, "text": ""}, "invalid", "text"),
        ("chat:send", {"room": room, "text": "a\0b"}, "invalid", "text"),
        ("chat:send", {"room": room, "text": 7}, "invalid", "text"),
        ("chat:send", {"room": room, "text": "a", "userId": "eve"}, "invalid", "userId"),
        ("chat:send", {"room": room + "\n", "text": "a"}, "invalid", "room"),
        ("history", {"room": room, "limit": 10**6}, "invalid", "limit"),
        ("history", {"room": room, "stream": "secrets"}, "invalid", "stream"),
        ("join", {"room": room, "after": -1}, "invalid", "after"),
        ("join", "course:1", "invalid", None),
        ("join", (room, room), "invalid", None),
        ("drop table", {}, "unknown_event", None),
        ("call:invite", {"to": "x", "media": "voice", "offer": {"type": "answer", "sdp": ""}}, "invalid", "offer.type"),
    ]

    async def ask() -> None:
        async with tab(servers[0], ada) as client:
            await client.ask("join", room=room)
            for event, body, code, field in refused:
                error = (await client.try_(event, body))["error"]
                assert error["code"] == code, (event, body, error)
                assert field is None or error["field"] == field
            assert (await client.refused("chat:send", room=room, text=long))["limit"] == LONGEST_TEXT
            await client.ask("chat:send", room=room, text="x" * LONGEST_TEXT)

    asyncio.run(ask())


def test_who_asks_too_often_is_told_when_to_ask_again_in_every_tab_and_nobody_else_is(
    world: World, servers: Servers
) -> None:
    ada, emmy = world.user(), world.user()
    room = world.course(ada, emmy)
    many = int(Limits().burst) * 2

    async def ask() -> None:
        async with tab(servers[0], ada) as one, tab(servers[0], ada) as second, tab(servers[0], emmy) as other:
            for client in (one, other):
                await client.ask("join", room=room)
            asked = [client.try_("presence", {"room": room}) for client in (one, second) for _ in range(many)]
            answers = await asyncio.gather(*asked)
            errors = [answer["error"] for answer in answers if not answer["ok"]]
            limited = [error for error in errors if error["code"] == "rate_limited"]
            assert len(limited) > many / 2
            assert all(0 < error["retryAfterSeconds"] < 5 for error in limited)
            await other.ask("presence", room=room)
            await asyncio.sleep(max(error["retryAfterSeconds"] for error in limited))
            await one.ask("presence", room=room)

    asyncio.run(ask())


FRAMES: list[str | bytes] = [
    "",
    "x",
    "9",
    "4",
    "4x",
    "42",
    "42{}",
    "42[",
    "42[]",
    "42[7]",
    '42["connect"]',
    '42["disconnect"]',
    '42/admin,["join"]',
    '451-["a",{"_placeholder":true,"num":0}]',
    "4" + "9" * 300,
    "42" + "[" * 20_000,
    "3" + "[" * 20_000,
    "b4AAAA",
    b"\x00\xff",
    '42["join",{"room":"' + "x" * 70_000 + '"}]',
]


def test_a_malformed_frame_ends_its_connection_and_nothing_else(world: World, servers: Servers) -> None:
    ada = world.user()
    room = world.course(ada)
    address = servers[0].url.replace("http", "ws") + "/socket.io/?EIO=4&transport=websocket"
    greeting = '40{"token":"' + make_token(ada, SECRET) + '"}'

    async def send(session: aiohttp.ClientSession, frame: str | bytes) -> None:
        async with session.ws_connect(address) as wire:
            await wire.send_str(greeting)
            while not (await wire.receive_str()).startswith("40"):
                pass
            await (wire.send_bytes(frame) if isinstance(frame, bytes) else wire.send_str(frame))
            async with asyncio.timeout(10):
                while (await wire.receive()).type is aiohttp.WSMsgType.TEXT:
                    pass
            assert wire.closed, frame[:40]

    async def vandalise() -> None:
        async with tab(servers[0], ada) as client, aiohttp.ClientSession() as session:
            await client.ask("join", room=room)
            for frame in FRAMES:
                await send(session, frame)
            # Whoever it was is forgotten, in memory and in the database.
            await client.ask("chat:send", room=room, text="still here")
            await client.told("chat", text="still here")
        async with aiohttp.ClientSession() as session, session.get(servers[0].url + "/readyz") as answer:
            assert (answer.status, (await answer.json())["ok"]) == (200, True)

    asyncio.run(vandalise())
    assert "Traceback" not in servers[0].log
    own = "select 1 from realtime.attendance where user_id = %s"
    deadline = time.monotonic() + 10
    while world.execute(own, ada):
        assert time.monotonic() < deadline, "its user is still online"
        time.sleep(0.05)


def with_little_room(address: Any) -> socket.socket:
    """Make a socket that takes in little, so that its sender soon has to wait."""
    made = socket.socket(*address[:3])
    made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    return made


def test_history_that_nobody_reads_is_not_piled_up_and_who_reads_gets_all_of_it(world: World, servers: Servers) -> None:
    ada, emmy = world.user(), world.user()
    room, server = world.course(ada, emmy), servers[0]
    world.execute("insert into realtime.stream (room, name, last_sequence) values (%s, 'chat', 200)", room)
    fill = (
        "insert into realtime.entry (room, stream, sequence, id, author, body) "
        "select %s, 'chat', n, gen_random_uuid(), %s, jsonb_build_object('text', repeat('😀', %s)) "
        "from generate_series(1, 200) n"
    )
    world.execute(fill, room, ada, LONGEST_TEXT)
    before = resident_megabytes(server)

    async def read() -> None:
        async with tab(server, ada) as client, not_reading(server, emmy, room) as lazy:
            for number in range(35):
                await lazy.send_str(f'42{number}["history",{{"room":"{room}","limit":200}}]')
            await client.ask("join", room=room)
            # Who reads may ask for many pages in one go.
            pages = await asyncio.gather(*[client.ask("history", room=room, limit=200) for _ in range(15)])
            assert all(len(json.dumps(page)) < 300_000 for page in pages)
            for direction, first in (("before", 201), ("after", 0)):
                assert await all_numbers(client, room, direction, first) == list(range(1, 201))
            async with asyncio.timeout(SECONDS):
                while f"{emmy} is too slow" not in server.log:  # noqa: ASYNC110 - another process says so, in its log
                    await asyncio.sleep(0.05)
            await client.ask("presence", room=room)

    asyncio.run(read())
    assert resident_megabytes(server) - before < 100


def resident_megabytes(server: Server) -> float:
    """How much memory a server has had at most."""
    status = Path(f"/proc/{server.process.pid}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


async def all_numbers(client: Tab, room: str, direction: str, first: int) -> list[int]:
    """Read a chat page by page, and tell the numbers of its entries, in order."""
    found: set[int] = set()
    more = True
    while more:
        answer = await client.try_("history", {"room": room, "limit": 200, direction: first})
        if not answer["ok"]:
            await asyncio.sleep(answer["error"]["retryAfterSeconds"])
            continue
        numbers, more = [entry["sequence"] for entry in answer["entries"]], answer["more"]
        assert numbers == sorted(set(numbers) - found)
        found.update(numbers)
        first = numbers[0] if direction == "before" else numbers[-1]
    return sorted(found)


@asynccontextmanager
async def not_reading(server: Server, user: str, room: str) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
    """Connect a client that joins a room, takes in what fits into its buffers, and then nothing."""
    address = server.url.replace("http", "ws") + "/socket.io/?EIO=4&transport=websocket"
    connector = aiohttp.TCPConnector(socket_factory=with_little_room)
    async with (
        aiohttp.ClientSession(connector=connector) as session,
        session.ws_connect(address, max_msg_size=0) as lazy,
    ):
        await lazy.send_str('40{"token":"' + make_token(user, SECRET) + '"}')
        await lazy.send_str('421["join",{"room":"' + room + '"}]')
        while not (await lazy.receive_str()).startswith("431"):
            pass
        assert lazy._response.connection
        assert lazy._response.connection.transport
        lazy._response.connection.transport.pause_reading()
        yield lazy
        lazy._response.connection.transport.abort()


def test_a_client_that_does_not_read_is_let_go_and_holds_nobody_up(world: World) -> None:
    ada, emmy = world.user(), world.user()
    room = world.course(ada, emmy)
    server = world.server(REALTIME_LIMIT_QUEUE="20", REALTIME_LIMIT_PER_SECOND="1000", REALTIME_LIMIT_BURST="10000")

    async def talk() -> None:
        async with tab(server, ada) as speaker:
            await speaker.ask("join", room=room)
            async with not_reading(server, emmy, room):
                said = 0
                while "is too slow" not in server.log:
                    said += 1
                    await speaker.ask("chat:send", room=room, text="😀" * LONGEST_TEXT)
                    assert said < 5_000, "nobody was too slow"
                await speaker.told("chat", sequence=said)
            assert [entry["sequence"] for entry in speaker.of("chat")] == list(range(1, said + 1))

    asyncio.run(talk())
    server.process.end()
