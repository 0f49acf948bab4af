"""Purchases while the server is killed again and again: what was charged is paid, seated and told of, once each."""

import subprocess
import sys
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import httpx

from tests.command import environment
from tests.faults.world import wait_until
from tests.integration.edu_matrix import ALGEBRA, BIOLOGY, Application, Visitor, rows

KILLS = 3
BUYERS = 6
METHODS = ("card_ok", "card_ok", "card_answer_lost", "card_declined")

CONSISTENT = """
-- halves: users and courses where not all of charge, payment, seat, event, mail and notification are there once
select p.id, c.state, p.state
from edu_matrix.purchases p
left join payment_sandbox.charges c on c.payment_id = p.id::text
left join edu_matrix.payments paid on paid.id = p.id
left join edu_matrix.enrolments e on e.payment_id = p.id
left join lateral (
    select count(*) filter (where m.type = 'payment_completed.v1') as payments,
           count(*) filter (where m.type = 'audit_entry.v1') as entries
    from outbox.message m
    where convert_from(m.payload, 'UTF8') like '%' || p.id::text || '%'
) as told on true
where p.state = 'pending'
   or (coalesce(c.state, '') = 'charged') is distinct from (p.state = 'completed')
   or (paid.id is not null) is distinct from (p.state = 'completed')
   or (e.payment_id is not null) is distinct from (p.state = 'completed')
   or (told.payments, told.entries) is distinct from (case p.state when 'completed' then (1::bigint, 1::bigint)
                                                      else (0::bigint, 0::bigint) end)
"""


class Buyer:
    """Buys until told to stop; a request that went wrong is sent again as it was, for a while, then given up."""

    def __init__(self, edu: Application, stop: threading.Event) -> None:
        self._edu = edu
        self._stop = stop
        self.seen: Counter[int] = Counter()
        self.completed: set[str] = set()

    def run(self) -> None:
        with self._edu.client() as client:
            number = 0
            while not self._stop.is_set():
                number += 1
                self._visit(client, METHODS[number % len(METHODS)])

    def _visit(self, client: httpx.Client, method: str) -> None:
        try:
            visitor = Visitor(client)
        except (httpx.TransportError, AssertionError, KeyError):
            self._stop.wait(0.1)
            return
        for course in (ALGEBRA, BIOLOGY):
            self._buy(visitor, course, method)

    def _buy(self, visitor: Visitor, course: str, method: str) -> None:
        key = uuid4().hex
        for _ in range(3):
            try:
                answer = visitor.buy(course, method, key)
            except httpx.TransportError:
                self._stop.wait(0.2)
                continue
            self.seen[answer.status_code] += 1
            if answer.status_code == 201:
                self.completed.add(answer.json()["paymentId"])
            if answer.status_code < 500:
                return


def test_a_server_that_is_killed_under_load_leaves_no_half_purchase(database: str) -> None:
    stop = threading.Event()
    with Application(database) as edu, ThreadPoolExecutor(BUYERS) as pool:
        buyers = [Buyer(edu, stop) for _ in range(BUYERS)]
        running = [pool.submit(buyer.run) for buyer in buyers]
        try:
            for kill in range(KILLS):
                wait_for_purchases(database, 5 * (kill + 1))
                edu.kill()
                edu.start()
            wait_for_purchases(database, 5 * (KILLS + 1))
            wait_until(lambda: {201, 402} <= answers(buyers).keys(), 60, lambda: f"only {answers(buyers)}")
        finally:
            stop.set()
        for each in running:
            each.result(120)
        edu.kill()
    left = rows(database, "select count(*) from edu_matrix.purchases where state = 'pending'")[0][0]
    reconcile(database)
    assert rows(database, CONSISTENT) == []
    completed = {str(row[0]) for row in rows(database, "select id from edu_matrix.payments")}
    promised = set.union(*(buyer.completed for buyer in buyers))
    assert promised <= completed
    print(f"{len(completed)} payments, {left} left pending and settled, answers {dict(answers(buyers))}")


def answers(buyers: list[Buyer]) -> Counter[int]:
    """How often buyers were answered with which status."""
    return sum((buyer.seen for buyer in buyers), Counter[int]())


def reconcile(database: str) -> None:
    command = [sys.executable, "-m", "app_integration", "example", "reconcile", "--older", "0"]
    done = subprocess.run(command, env=environment(DATABASE_URL=database), check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def wait_for_purchases(url: str, number: int) -> None:
    pause, query = threading.Event(), "select count(*) from edu_matrix.payments"
    for _ in range(1200):
        if rows(url, query)[0][0] >= number:
            return
        pause.wait(0.05)
    raise AssertionError(f"fewer than {number} purchases in a minute")
