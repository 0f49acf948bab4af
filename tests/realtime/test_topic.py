"""What comes through the topic: notifications for each tab of a user, and nonsense, which is passed over."""

import asyncio

import psycopg
from confluent_kafka import Producer

from app_integration import enqueue_many
from app_integration.realtime.records import Kind, Record, notification
from tests.realtime.world import Server, World, tab

Servers = tuple[Server, Server]

NONSENSE = [
    b"",
    b"\xff\xfe",
    b"{",
    b"[]",
    b'"chat"',
    b"[" * 100_000,
    b'{"kind": "chat"}',
    b'{"kind": ["chat"], "to": "course:1", "body": {}}',
    b'{"kind": "from the future", "to": "course:1", "body": {}}',
    b'{"kind": "chat", "to": "course:1", "body": {"sequence": "1"}}',
    b'{"kind": "chat", "to": "no room at all", "body": {"sequence": 1}}',
    b'{"kind": "presence", "to": "ROOM", "body": {}}',
    b'{"kind": "typing", "to": "ROOM", "body": []}',
    b'{"kind": "call", "to": "call:1", "body": {"event": "nothing"}}',
    b'{"kind": "call", "to": "call:1", "body": {"event": {}, "callId": []}}',
    b'{"kind": "expelled", "to": "ROOM", "body": {"userId": {}}}',
    b'{"kind": "notification", "to": "ROOM", "body": {"id": "1"}}',
    b'{"kind": "chat", "to": "ROOM", "body": {"sequence": 1000000000000, "text": "a forged number"}}',
]


def test_a_notification_reaches_each_tab_of_its_user_on_any_server_and_nobody_else(
    world: World, servers: Servers
) -> None:
    ada, eve = world.user(), world.user()
    body = {"id": "n-1", "type": "course_reminder", "title": "<i>Soon</i>", "message": "in 15 minutes"}

    async def wait() -> None:
        async with tab(servers[0], ada) as one, tab(servers[1], ada) as other, tab(servers[0], eve) as stranger:
            with psycopg.connect(world.database_url) as connection:
                enqueue_many(connection, [notification(ada, {**body, "id": "n-0"})])
                connection.rollback()
                # As after a crash of whoever enqueues: the same twice.
                enqueue_many(connection, [notification(ada, body), notification(ada, body)])
                enqueue_many(connection, [notification(ada, {**body, "id": "n-2"})])
            for client in (one, other):
                await client.told("notification", id="n-2")
                assert [told["id"] for told in client.of("notification")] == ["n-1", "n-2"]
                assert client.of("notification")[0] == body
            assert not stranger.of("notification")

    asyncio.run(wait())


def test_what_the_relay_repeats_after_a_crash_is_told_once(world: World, servers: Servers) -> None:
    ada = world.user()
    room = world.course(ada)
    producer = Producer({"bootstrap.servers": world.brokers, "partitioner": "murmur2_random"})

    async def talk() -> None:
        async with tab(servers[0], ada) as client:
            await client.ask("join", room=room)
            for text in ("1", "2", "3"):
                await client.ask("chat:send", room=room, text=text)
            await client.told("chat", text="3")
            for entry in client.of("chat"):
                producer.produce(world.topic, Record(Kind.CHAT, room, entry).encode(), room)
            assert producer.flush(30) == 0
            await client.ask("chat:send", room=room, text="4")
            await client.told("chat", text="4")
            assert [entry["sequence"] for entry in client.of("chat")] == [1, 2, 3, 4]

    asyncio.run(talk())


def test_nonsense_on_the_topic_is_logged_and_passed_over(world: World, servers: Servers) -> None:
    ada = world.user()
    room = world.course(ada)
    producer = Producer({"bootstrap.servers": world.brokers})

    async def talk() -> None:
        async with tab(servers[0], ada) as client:
            await client.ask("join", room=room)
            before = servers[0].log.count("passed over")
            for partition in range(4):
                for value in NONSENSE:
                    producer.produce(world.topic, value.replace(b"ROOM", room.encode()), partition=partition)
            producer.produce(world.topic, None, partition=0)
            assert producer.flush(30) == 0
            for text in ("1", "2"):
                await client.ask("chat:send", room=room, text=text)
                await client.told("chat", text=text)
            assert [entry["sequence"] for entry in client.of("chat")] == [1, 2]
            await asyncio.to_thread(servers[0].wait_for_count, "passed over", before + 4 * len(NONSENSE))

    asyncio.run(talk())
    assert "Traceback" not in servers[0].log
