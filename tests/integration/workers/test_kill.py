"""Workers are killed at random under load, two at a time: each message has its effect, and has it once."""

import json
import random
import signal
import subprocess
import sys
import tempfile
import threading

from app_integration.workers.audit.chain import Broken
from app_integration.workers.audit.verifying import verify_all
from app_integration.workers.settings import Settings
from tests.integration.workers.conftest import Connection, Produce, rows, variables, wait_until

MESSAGES, KILLS = 2_000, 5


def start(name: str, topic: str, settings: Settings) -> "subprocess.Popen[bytes]":
    given = variables(settings, topic)
    command = [sys.executable, "-m", "app_integration", "worker", name]
    return subprocess.Popen(command, cwd=tempfile.gettempdir(), env=given, stderr=subprocess.DEVNULL)


def test_two_instances_of_which_one_is_killed_again_and_again_have_each_effect_once(
    topic: str, session: Connection, settings: Settings, produce: Produce
) -> None:
    dice, stop = random.Random(7), threading.Event()
    ids: list[str] = []

    def load() -> None:
        for n in range(MESSAGES):
            entry = {"action": "done", "resource": "thing", "chain": f"c{n % 5}", "details": {"n": n}}
            ids.append(produce(topic, json.dumps(entry).encode(), key=f"c{n % 5}", ce_type="audit_entry.v1"))
            if n % 10 == 0:
                # A relay that was killed repeats.
                produce(topic, json.dumps(entry).encode(), key=f"c{n % 5}", id=ids[-1], ce_type="audit_entry.v1")
        stop.set()

    loading = threading.Thread(target=load)
    instances = [start("audit", topic, settings) for _ in range(2)]
    try:
        loading.start()
        for _ in range(KILLS):
            wait_until(lambda: rows(session, "select 1 from worker.inbox limit 1"))
            stop.wait(dice.uniform(0.5, 2.0)) and threading.Event().wait(dice.uniform(0.1, 1.0))
            victim = dice.randrange(2)
            instances[victim].kill()
            instances[victim].wait()
            instances[victim] = start("audit", topic, settings)
        loading.join()
        wait_until(lambda: rows(session, "select count(*) from worker.inbox") == [(MESSAGES,)], seconds=90)
        sessions = "select count(*) from pg_stat_activity where application_name = 'worker audit'"
        wait_until(lambda: rows(session, sessions) == [(2,)], "both have started")
        for instance in instances:
            instance.send_signal(signal.SIGTERM)
        assert [instance.wait(30) for instance in instances] == [0, 0]
    finally:
        stop.set()
        for instance in instances:
            instance.kill()
            instance.wait()
    assert rows(session, "select count(*), count(distinct entry::json ->> 'id') from worker.audit_entry") == [
        (MESSAGES, MESSAGES)
    ]
    assert [found for found in verify_all(session) if isinstance(found, Broken)] == []
    # In their order too: what came first in a chain has the lower number.
    assert rows(
        session,
        "select count(*) from (select n, lag(n) over (partition by chain order by number) as before"
        " from worker.audit_entry, lateral (select (entry::json #>> '{details,n}')::int) as d(n)) as e"
        " where n < before",
    ) == [(0,)]
