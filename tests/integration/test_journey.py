"""What the page looks up: the newest messages, and among them, at its place, one that was committed late."""

import asyncio
from typing import Any

import psycopg
import pytest

from app_integration import enqueue
from app_integration.example import journey, migrate
from app_integration.example.database import connect


def look(database_url: str) -> dict[str, Any]:
    async def once() -> dict[str, Any]:
        engine = connect(database_url)
        async with engine.connect() as connection:
            shown = await journey.look(connection)
        await engine.dispose()
        return shown

    return asyncio.run(once())


def tell(connection: "psycopg.Connection[Any]", what: str) -> None:
    enqueue(connection, topic="business-events", payload={"what": what}, key=what, type="told.v1")


def test_a_message_that_is_committed_late_comes_in_at_its_place_and_none_comes_twice(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    migrate.upgrade(database)
    with psycopg.connect(database) as slow, psycopg.connect(database) as quick:
        tell(quick, "first")
        quick.commit()
        tell(slow, "late")
        for n in range(3):
            tell(quick, f"after {n}")
            quick.commit()
        shown = [message["key"] for message in look(database)["messages"]]
        assert shown == ["after 2", "after 1", "after 0", "first"]
        slow.commit()
        shown = [message["key"] for message in look(database)["messages"]]
        assert shown == ["after 2", "after 1", "after 0", "late", "first"]
        # The newest only: what is older is not on the page, and known to `relay show`.
        monkeypatch.setattr(journey, "MOST_MESSAGES", 4)
        shown = [message["key"] for message in look(database)["messages"]]
        assert shown == ["after 2", "after 1", "after 0", "late"]
