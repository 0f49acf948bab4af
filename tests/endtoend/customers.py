"""Customers: they register and buy through HTTP, and ask again until they know what became of it.

Whose answer is lost sends the same again, to whichever server answers. So each knows in the end whether there is an
account, for its address was nobody else's, and whether a course was paid for, for it sends the same `Idempotency-Key`.
What they were told is noted: that is what is promised.
"""

import random
import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import uuid4

import httpx

from tests.endtoend.notes import Notes
from tests.integration.edu_matrix import ALGEBRA, BIOLOGY, PASSWORD

ANSWER_SECONDS = 8.0
"""For which they wait for an answer; who is frozen gives none."""

PATIENCE = 300.0
"""Seconds in which some server must have answered."""

METHODS = ("card_ok", "card_ok", "card_answer_lost", "card_declined")

CREATED, DECLINED, CONFLICT, BROKEN = 201, 402, 409, 500


class Customer:
    """Comes again and again, each time as somebody new, until told to stop.

    Args:
        servers: the application's addresses.
        notes: of what was promised.
        dice: decide what each does.
        stop: ends it, after what is begun.
        pause: seconds between two visits.
    """

    def __init__(
        self, servers: Sequence[str], notes: Notes, dice: random.Random, stop: threading.Event, pause: float
    ) -> None:
        self._servers = servers
        self._notes = notes
        self._dice = dice
        self._stop = stop
        self._pause = pause

    def run(self) -> None:
        """Visit until told to stop."""
        with httpx.Client(timeout=ANSWER_SECONDS) as client:
            while not self._stop.wait(self._pause):
                email = f"{uuid4().hex[:12]}@example.com"
                self._register(client, email)
                if self._dice.random() < 0.4:
                    self._buy(client, email, self._dice.choice(METHODS))

    def _register(self, client: httpx.Client, email: str) -> None:
        body = {"email": email, "name": "Ada", "password": PASSWORD, "userType": "student"}
        answer = self._ask(client, "/api/auth/register", body)
        # Taken: by ourselves, when we asked before and heard nothing.
        assert answer.status_code in (CREATED, CONFLICT), answer.text
        self._notes.note("registered", email=email)

    def _buy(self, client: httpx.Client, email: str, method: str) -> None:
        given = self._ask(client, "/api/auth/login", {"email": email, "password": PASSWORD})
        assert given.status_code == 200, given.text
        body = {"courseId": self._dice.choice([ALGEBRA, BIOLOGY]), "paymentMethod": method}
        while True:
            headers = {"Authorization": f"Bearer {given.json()['accessToken']}", "Idempotency-Key": uuid4().hex}
            answer = self._ask(client, "/api/courses/purchase", body, headers)
            if answer.status_code != CONFLICT:
                break
            # Given up by the server while nobody came back: nothing was charged, and we may begin anew.
            assert answer.json()["type"].endswith("payment-abandoned"), answer.text
        again = self._ask(client, "/api/courses/purchase", body, headers)
        assert (again.status_code, again.content) == (answer.status_code, answer.content), (answer.text, again.text)
        if answer.status_code == CREATED:
            self._notes.note("paid", email=email, payment=answer.json()["paymentId"])
        else:
            assert answer.status_code == DECLINED, answer.text
            self._notes.note("declined", email=email)

    def _ask(
        self, client: httpx.Client, path: str, body: Mapping[str, Any], headers: Mapping[str, str] | None = None
    ) -> httpx.Response:
        """Ask until somebody answers."""
        deadline, heard = time.monotonic() + PATIENCE, "nothing"
        while time.monotonic() < deadline:
            try:
                answer = client.post(self._dice.choice(self._servers) + path, json=body, headers=headers)
            except httpx.TransportError as error:
                heard = repr(error)
            else:
                if answer.status_code < BROKEN:
                    return answer
                heard = answer.text
            time.sleep(0.2)
        raise AssertionError(f"{path} was not answered within {PATIENCE:.0f} s; heard was {heard}")
