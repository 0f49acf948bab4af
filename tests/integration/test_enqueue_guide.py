"""Every snippet of the guide runs, in its order, and does what the guide says."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from confluent_kafka import Consumer, Message, Producer

from tests.integration.enqueueing import committed, url
from tests.services import REPOSITORY

GUIDE = REPOSITORY / "docs" / "guide.md"
SNIPPET = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def snippets() -> list[tuple[int, str, str]]:
    """Each with its first line's number, so that a traceback points into the guide."""
    guide = GUIDE.read_text()
    return [(guide[: found.start()].count("\n") + 1, found[1], found[2]) for found in SNIPPET.finditer(guide)]


def is_file(code: str) -> bool:
    return code.startswith("# ")


@pytest.fixture
def guided(database: str, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the names of the guide stand for after all its snippets have run."""
    monkeypatch.setenv("DATABASE_URL", url(database))
    names: dict[str, Any] = {"__name__": "guide"}
    for line, language, code in snippets():
        if language == "sql":
            with psycopg.connect(database) as connection:
                connection.execute(code.encode())
        elif not is_file(code):
            exec(compile("\n" * line + code, str(GUIDE), "exec"), names)
    return names


@pytest.fixture
def closing(guided: dict[str, Any]) -> Any:
    yield guided
    guided["engine"].dispose()


def test_the_guides_snippets_enqueue_what_they_say(closing: dict[str, Any], database: str) -> None:
    assert {language for _, language, _ in snippets()} == {"python", "sql"}
    types = committed(database, "type")
    for said in ("placed", "paid", "sent", "received", "cancelled", "noted"):
        assert f"order.{said}" in types
    assert types.count("order.placed") == 2
    assert types.count("order.imported") == 6_000
    assert committed(database, "id")[0] == closing["message_id"]
    with psycopg.connect(database) as connection:
        noted = connection.execute(
            "select convert_from(payload, 'UTF8') from outbox.message where type = 'order.noted'"
        ).fetchone()
    assert noted is not None
    assert json.loads(noted[0]) == {"path": "C:\\new"}


def test_the_guides_test_suite_passes(database: str, tmp_path: Path) -> None:
    for _, _, code in snippets():
        if is_file(code):
            (tmp_path / code.splitlines()[0].removeprefix("# ")).write_text(code)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["conftest.py", "test_orders.py"]
    path = os.pathsep.join([str(REPOSITORY), *filter(None, [os.environ.get("PYTHONPATH")])])
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-W", "error", "-p", "no:cacheprovider", str(tmp_path)],
        check=False,
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "DATABASE_URL": url(database), "PYTHONPATH": path},
    )
    assert "2 passed" in done.stdout, done.stdout + done.stderr
    assert committed(database) == []


def test_the_guides_consumer_acts_once_on_a_message_that_comes_twice(
    closing: dict[str, Any], kafka_brokers: str, topic: str
) -> None:
    identity = str(uuid4())
    producer = Producer({"bootstrap.servers": kafka_brokers})
    for _ in range(2):
        producer.produce(topic, b"{}", key=b"7", headers={"ce_id": identity})
    assert producer.flush(30) == 0
    consumer = Consumer(
        {"bootstrap.servers": kafka_brokers, "group.id": f"guide-{identity}", "auto.offset.reset": "earliest"}
    )
    consumer.subscribe([topic])
    received: list[Message] = []
    while len(received) < 2:
        received += consumer.consume(2, timeout=1)
    consumer.close()
    assert [closing["handle"](message) for message in received] == [True, False]
