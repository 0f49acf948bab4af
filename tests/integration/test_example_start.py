"""`make example` as its first user meets it: nothing is configured, all of it works, and Ctrl-C leaves nothing."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import psutil
import pytest

from tests.command import environment
from tests.integration.edu_matrix import ALGEBRA, Visitor, rows

pytestmark = pytest.mark.timeout(400)

SECONDS = 120.0

EFFECTS = {
    "worker.inbox of email": ("select count(*) from worker.inbox where consumer = 'email'", 2),
    "inbox of integrations": ("select count(*) from worker.inbox where consumer = 'integrations'", 3),
    "notifications": ("select count(*) from worker.notification where user_id = %s", 1),
    "counts": ("select count(*) from worker.analytics_hourly where user_id = %s", 2),
    "records": ("select count(*) from worker.audit_entry where entry like '%%' || %s || '%%'", 2),
}


class Example:
    """The program at work in an empty folder, with all that it ever started."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.mark = uuid4().hex
        self.output = ""
        self.process = subprocess.Popen(
            [sys.executable, "-m", "app_integration", "example", "start", *options],
            cwd=folder,
            # Of servers that somebody has set up for other work nothing may be touched.
            env=environment(
                RELAY_CACHE=os.environ["RELAY_CACHE"],
                EXAMPLE_UNDER_TEST=self.mark,
                DATABASE_URL="postgresql://nobody@127.0.0.1:1/none",
                KAFKA_BROKERS="127.0.0.1:1",
                WORKER_TOPIC="not-ours",
            ),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def address(self, of: str) -> str:
        """Read on until an address is told."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.output += line
            if line.startswith(of):
                found = re.search(r"\S+://\S+", line)
                assert found is not None, line
                return found[0]
        pytest.fail(f"it ended without telling {of!r}:\n{self.output}")

    def stop(self) -> int:
        self.process.send_signal(signal.SIGINT)
        assert self.process.stdout is not None
        self.output += self.process.stdout.read()
        return self.process.wait(SECONDS)

    def left(self) -> list[psutil.Process]:
        ours = [process for process in psutil.process_iter() if self._is_ours(process)]
        return psutil.wait_procs(ours, timeout=10)[1]

    def _is_ours(self, process: psutil.Process) -> bool:
        try:
            return process.environ().get("EXAMPLE_UNDER_TEST") == self.mark
        except psutil.Error:
            return False


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
        assert httpx.get(f"{real_time}/health", timeout=60).json()["ok"]
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
    assert output == f"example: port {port} of 127.0.0.1 is taken; choose another: make example PORT=8080\n"
