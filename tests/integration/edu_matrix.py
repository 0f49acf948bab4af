"""Edu Matrix as its users meet it: a process of its own, spoken to over HTTP."""

import re
import signal
import subprocess
import sys
import tempfile
from typing import Any, Self
from uuid import uuid4

import httpx
import psycopg

from app_integration.example import migrate
from tests.command import environment

SECRET = "not-secret-at-all-but-long-enough-for-hs256"
PASSWORD = "correct horse battery"
ALGEBRA = "01920000-0000-7000-8000-000000000001"
BIOLOGY = "01920000-0000-7000-8000-000000000002"


class Application:
    """A running server; killed or stopped, it can be started again at the same address."""

    def __init__(self, database_url: str, **variables: str) -> None:
        migrate.upgrade(database_url)
        self.database_url = database_url
        self._variables = {"DATABASE_URL": database_url, "JWT_SECRET": SECRET, **variables}
        self._port = "0"
        self.log = tempfile.TemporaryFile("w+")  # noqa: SIM115 - it is read after the process
        self.start()

    def start(self) -> None:
        command = [sys.executable, "-m", "app_integration", "example", "serve", "--port", self._port]
        self.process = subprocess.Popen(
            command, env=environment(**self._variables), stdout=subprocess.PIPE, stderr=self.log, text=True
        )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        address = re.search(r"http://127\.0\.0\.1:(\d+)", line)
        assert address is not None, f"{line}{self.read_log()}"
        self._port = address[1]
        self.url = address[0]

    def kill(self) -> None:
        """End it as a power cut does."""
        self._end(signal.SIGKILL)

    def stop(self) -> int:
        """Ask it to stop; return its exit code."""
        return self._end(signal.SIGTERM)

    def _end(self, number: int) -> int:
        self.process.send_signal(number)
        code = self.process.wait(60)
        assert self.process.stdout is not None
        self.process.stdout.close()
        return code

    def read_log(self) -> str:
        self.log.seek(0)
        return self.log.read()

    def client(self, **options: Any) -> httpx.Client:
        return httpx.Client(base_url=self.url, timeout=60, **options)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.kill()
        self.log.close()


class Visitor:
    """Somebody with a browser, registered and logged in."""

    def __init__(self, client: httpx.Client, user_type: str = "student") -> None:
        self.client = client
        self.email = f"{uuid4().hex[:12]}@example.com"
        body = {"email": self.email, "name": "Ada", "password": PASSWORD, "userType": user_type}
        registered = client.post("/api/auth/register", json=body)
        assert registered.status_code == 201, registered.text
        self.id = registered.json()["userId"]
        given = client.post("/api/auth/login", json={"email": self.email, "password": PASSWORD})
        self.headers = {"Authorization": f"Bearer {given.json()['accessToken']}"}

    def buy(self, course: str = ALGEBRA, method: str = "card_ok", key: str | None = None) -> httpx.Response:
        return self.client.post(
            "/api/courses/purchase",
            json={"courseId": course, "paymentMethod": method},
            headers={**self.headers, "Idempotency-Key": key or uuid4().hex},
        )


def rows(url: str, query: str, *values: object) -> list[tuple[Any, ...]]:
    with psycopg.connect(url) as connection:
        return connection.execute(query.encode(), values or None).fetchall()


def told(url: str, user_id: str) -> list[tuple[str, str]]:
    """What the outbox tells of a user, in order: topics and types."""
    query = "select topic, type from outbox.message where convert_from(payload, 'UTF8') like %s order by seq"
    return rows(url, query, f"%{user_id}%")


def counts(url: str, user_id: str) -> dict[str, int]:
    """How many of each a user has: charges at the provider, payments, seats, and what was told of them."""
    ours = f"select id::text from edu_matrix.purchases where user_id = '{user_id}'"
    queries = {
        "charges": f"select count(*) from payment_sandbox.charges where state='charged' and payment_id in ({ours})",
        "payments": f"select count(*) from edu_matrix.payments where user_id = '{user_id}'",
        "enrolments": f"select count(*) from edu_matrix.enrolments where user_id = '{user_id}'",
        "pending": f"select count(*) from edu_matrix.purchases where state = 'pending' and user_id = '{user_id}'",
        **{
            kind: f"select count(*) from outbox.message where type = '{kind}.v1' and key = '{user_id}'"
            for kind in ("payment_completed", "course_enrolled", "notification")
        },
    }
    return {name: rows(url, query)[0][0] for name, query in queries.items()}
