"""`make example` as its first user meets it: nothing is configured, all of it works, and Ctrl-C leaves nothing."""

import socket
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.integration.edu_example import SECONDS, Example
from tests.integration.edu_matrix import ALGEBRA, Visitor, rows

pytestmark = pytest.mark.timeout(400)

EFFECTS = {
    "worker.inbox of email": ("select count(*) from worker.inbox where consumer = 'email'", 2),
    "inbox of integrations": ("select count(*) from worker.inbox where consumer = 'integrations'", 3),
    "notifications": ("select count(*) from worker.notification where user_id = %s", 1),
    "counts": ("select count(*) from worker.analytics_hourly where user_id = %s", 2),
    "records": ("select count(*) from worker.audit_entry where entry like '%%' || %s || '%%'", 2),
}


@pytest.fixture
def example(tmp_path: Path) -> Iterator[Example]:
    started = Example(tmp_path, "--port", "0")
    yield started
    started.process.kill()
    started.process.communicate()


def wait(found: Callable[[], Any], what: str) -> None:
    deadline = time.monotonic() + SECONDS
    while not found():
        assert time.monotonic() < deadline, f"never: {what}"
        time.sleep(0.2)


def _is(expected: int, database: str, query: str, *values: str) -> bool:
    return bool(rows(database, query, *values)[0][0] == expected)


def test_it_needs_nothing_shows_everything_and_leaves_nothing(example: Example, tmp_path: Path) -> None:
    database, real_time, mails, page = map(example.address, ("PostgreSQL  ", "real time", "mails", "Edu Matrix is"))
    with httpx.Client(base_url=page.removesuffix("/api/kafka-example"), timeout=60) as client:
        assert client.get("/api/kafka-example").status_code == 200
        ada = Visitor(client)
        assert ada.buy().status_code == 201
        assert httpx.get(f"{real_time}/readyz", timeout=60).json()["ok"]
        wait(lambda: len(httpx.get(f"{mails}/mails", timeout=60).json()) == 2, "two mails")
        for what, (query, expected) in EFFECTS.items():
            values = (ada.id,) if "%s" in query else ()
            wait(partial(_is, expected, database, query, *values), what)
        caught = httpx.get(f"{mails}/mails", timeout=60).json()
        assert {mail["subject"] for mail in caught} == {"Welcome to Edu Matrix!", "Course Access Granted!"}
        assert {mail["to"] for mail in caught} == {ada.email}
        assert {mail["text"].partition("\r\n")[0] for mail in caught} == {
            "Welcome, Ada!", "You have access to Algebra from the beginning"
        }  # fmt: skip
        assert rows(database, "select room, user_id from realtime.membership") == [(f"course:{ALGEBRA}", ada.id)]
        shown = client.get("/api/kafka-example/state").json()["messages"]
        assert {each["consumer"] for message in shown for each in message["handled"]} == {
            "email", "notification", "analytics", "audit", "integrations"
        }  # fmt: skip
    assert example.stop() == 0, example.output
    assert "Traceback" not in example.output
    assert example.left() == []
    assert list(tmp_path.iterdir()) == []


def test_a_port_that_is_taken_is_named_before_anything_starts(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        example = Example(tmp_path, "--port", port)
        output, _ = example.process.communicate(timeout=SECONDS)
    assert (example.process.returncode, list(tmp_path.iterdir())) == (2, []), output
    assert f"port {port} of 127.0.0.1 cannot be had: Address already in use; choose another" in output
