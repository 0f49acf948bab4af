"""A wrong call does not type-check: mypy, run over what an application might write."""

import re
from pathlib import Path

import pytest
from mypy import api

PREAMBLE = """
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID
import psycopg
from sqlalchemy import Connection
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession
from sqlalchemy.orm import Session
from app_integration import NewMessage, enqueue, enqueue_many

async def f(
    session: Session, async_session: AsyncSession, connection: Connection, async_connection: AsyncConnection,
    pg: psycopg.Connection[Any], async_pg: psycopg.AsyncConnection[Any],
) -> None:
    made: UUID
    many: list[UUID]
"""

RIGHT = """
    made = enqueue(session, "t", {"a": 1}, key="k", type="x", headers={"h": "v"})
    made = enqueue(async_session, "t", b"raw")
    made = enqueue(connection, "t", None, deliver_after=datetime.now(UTC) + timedelta(hours=1))
    made = enqueue(pg, "t", [1])
    made = await enqueue(async_pg, "t", {})
    made = await enqueue(async_connection, "t", {})
    many = enqueue_many(session, [NewMessage(topic="t", payload={}, deliver_after=datetime.now(UTC))])
    many = await enqueue_many(async_pg, [NewMessage(topic="t", payload={})])
"""

WRONG = {
    'enqueue(async_pg, "t", {})': "unused-coroutine",
    'enqueue(async_connection, "t", {})': "unused-coroutine",
    "enqueue_many(async_pg, [])": "unused-coroutine",
    'made = enqueue(async_pg, "t", {})': "assignment",
    'await enqueue(async_session, "t", {})': "misc",
    'enqueue("t", {})': "call-overload",
    'enqueue(session, "t")': "call-overload",
    'enqueue(session, "t", {}, key=1)': "call-overload",
    'enqueue(session, "t", {}, headers={"n": 1})': "dict-item",
    'enqueue(session, "t", "text")': "call-overload",
    'enqueue(session, "t", {1: "x"})': "dict-item",
    'enqueue(session, "t", {}, id="x")': "call-overload",
    'enqueue(session, "t", {}, kye="k")': "call-overload",
    'enqueue(session, "t", {}, deliver_after="tomorrow")': "call-overload",
    'enqueue(session, "t", {}, deliver_after=timedelta(hours=1))': "call-overload",
    'NewMessage(topic="t", payload={}, deliver_after=3600)': "arg-type",
    'enqueue_many(session, [{"topic": "t"}])': "list-item",
    'NewMessage("t", {})': "call-arg",
}


def test_right_calls_type_check_and_each_wrong_one_does_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "application.py"
    file.write_text(PREAMBLE + RIGHT + "".join(f"    {call}\n" for call in WRONG))
    monkeypatch.setenv("MYPYPATH", str(Path(__file__).parents[2]))
    report, problems, _ = api.run(["--strict", "--config-file=", f"--cache-dir={tmp_path / 'cache'}", str(file)])
    assert not problems
    lines = file.read_text().splitlines()
    found: dict[str, str] = {}
    for number, code in re.findall(r"application\.py:(\d+): error: .*\[([a-z-]+)\]", report):
        found.setdefault(lines[int(number) - 1].strip(), code)
    assert found.keys() == WRONG.keys(), report
    assert {call: code for call, code in found.items() if code != WRONG[call]} == {}, report
