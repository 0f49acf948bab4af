"""The demo as its first user meets it: it proves what it says, it can fail, and it leaves nothing behind."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import psutil
import psycopg
import pytest
from confluent_kafka.admin import AdminClient

from relay.local.postgres import Postgres
from tests.command import environment

pytestmark = pytest.mark.timeout(300)

CACHE = {"RELAY_CACHE": os.environ["RELAY_CACHE"]}
SECONDS = 120
RELAY = (sys.executable, "-m", "relay", "run")

PLAY = """
import sys
from relay.demo import Plan, run
sys.exit(run({command!r}, Plan(kill=2, restart=3, write=6, patience=5)))
"""

NAIVE_RELAY = """
# What a relay must not be: it sends what is above the last number it saw, newest first, and remembers nothing.
import os, time, tomllib
import psycopg
from confluent_kafka import Producer

topics = tomllib.load(open(os.environ["RELAY_CONFIG"], "rb"))["topics"]
producer = Producer({"bootstrap.servers": os.environ["KAFKA_BROKERS"]})
last = 0
with psycopg.connect(os.environ["DATABASE_URL"], autocommit=True) as connection:
    while True:
        for row in connection.execute(
            "select seq, id::text, topic, key, payload from outbox.message where seq > %s order by seq desc", [last]
        ).fetchall():
            last = max(last, row[0])
            producer.produce(topics[row[2]]["name"], row[4], row[3], headers={"ce_id": row[1]})
        producer.flush()
        time.sleep(0.2)
"""


class Demo:
    """A demo at work in a folder of its own, with all that it ever started."""

    def __init__(self, folder: Path, command: list[str], **variables: str) -> None:
        self.folder = folder
        self.mark = str(uuid4())
        self.output = ""
        self._process = subprocess.Popen(
            command,
            cwd=folder,
            env=environment(DEMO_UNDER_TEST=self.mark, **CACHE, **variables),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.started = {psutil.Process(self._process.pid)}

    def until(self, text: str) -> None:
        """Read on until the demo says something."""
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._take(line)
            if text in line:
                return
        pytest.fail(f"it ended without saying {text!r}:\n{self.output}")

    def signal(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def ended(self) -> int:
        """Read to the end of what the demo says, and return its exit code."""
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._take(line)
        code = self._process.wait(SECONDS)
        assert "Traceback" not in self.output, self.output
        return code

    def left(self) -> list[str]:
        """Whatever is there that was not there before: processes, and files in its folder."""
        marked = {process for process in psutil.process_iter() if self._is_ours(process)}
        # A guard ends by itself when the demo has ended, a moment later.
        _, alive = psutil.wait_procs(self.started | marked, timeout=5)
        return [*map(str, alive), *map(str, self.folder.iterdir())]

    def close(self) -> None:
        self._process.kill()
        self._process.communicate()

    def _take(self, line: str) -> None:
        self.output += line
        if psutil.pid_exists(self._process.pid):
            self.started.update(psutil.Process(self._process.pid).children(recursive=True))

    def _is_ours(self, process: psutil.Process) -> bool:
        try:
            return process.environ().get("DEMO_UNDER_TEST") == self.mark
        except psutil.Error:
            return False


class StartDemo:
    """Starts demos; those that a failed test has left are ended."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.demos: list[Demo] = []

    def __call__(self, **variables: str) -> Demo:
        return self._start([sys.executable, "-m", "relay", "demo"], variables)

    def of(self, *relay: str, **variables: str) -> Demo:
        """Start a short one, of another relay."""
        return self._start([sys.executable, "-c", PLAY.format(command=relay)], variables)

    def _start(self, command: list[str], variables: dict[str, str]) -> Demo:
        self.demos.append(Demo(self.folder, command, **variables))
        return self.demos[-1]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[StartDemo]:
    folder = tmp_path / "here"
    folder.mkdir()
    starter = StartDemo(folder)
    yield starter
    for demo in starter.demos:
        demo.close()


@pytest.fixture
def given(postgres: Postgres, kafka_brokers: str) -> dict[str, str]:
    """Servers of somebody else, that the demo is pointed at."""
    return {"DATABASE_URL": postgres.url(), "KAFKA_BROKERS": kafka_brokers}


def databases(postgres: Postgres) -> set[str]:
    with psycopg.connect(postgres.url()) as connection:
        return {name for (name,) in connection.execute("select datname from pg_database")}


def topics(admin: AdminClient) -> set[str]:
    """All but Kafka's own, such as the one it makes when the first consumer ever comes by."""
    return {name for name in admin.list_topics(timeout=10).topics if not name.startswith("__")}


def test_it_ends_with_a_good_verdict_and_leaves_nothing(start: StartDemo) -> None:
    demo = start()
    assert demo.ended() == 0, demo.output
    committed, rolled_back, out_of_order, duplicates, verdict = demo.output.splitlines()[-5:]
    assert committed.startswith("committed = consumed: ")
    assert rolled_back.startswith("rolled back and seen: 0 (of ")
    assert out_of_order == "out of order: 0"
    assert duplicates.startswith("duplicates: ")
    assert verdict == "verdict: every promise held"
    assert "relay-2 is killed with SIGKILL while it holds 8 shards" in demo.output
    assert "relay-2 is started again" in demo.output
    assert demo.left() == []


@pytest.mark.parametrize(
    ("number", "moment"),
    [
        (signal.SIGINT, "starting PostgreSQL"),
        (signal.SIGTERM, "starting Kafka"),
        (signal.SIGINT, "writers register users"),
        (signal.SIGTERM, "relay-2 is killed"),
    ],
)
def test_it_can_be_stopped_at_any_moment_and_leaves_nothing(
    start: StartDemo, number: signal.Signals, moment: str
) -> None:
    demo = start()
    demo.until(moment)
    demo.signal(number)
    assert demo.ended() == 128 + number, demo.output
    assert "there is no verdict" in demo.output
    assert demo.left() == []


def test_servers_that_it_is_pointed_at_are_left_as_they_were(
    start: StartDemo, given: dict[str, str], postgres: Postgres, kafka_admin: AdminClient
) -> None:
    before = databases(postgres), topics(kafka_admin)
    demo = start.of(*RELAY, **given)
    assert demo.ended() == 0, demo.output
    assert (databases(postgres), topics(kafka_admin)) == before
    assert demo.left() == []


def test_a_relay_that_breaks_the_promises_is_found_out(start: StartDemo, given: dict[str, str], tmp_path: Path) -> None:
    naive = tmp_path / "naive.py"
    naive.write_text(NAIVE_RELAY)
    demo = start.of(sys.executable, str(naive), **given)
    assert demo.ended() == 1, demo.output
    assert "verdict: BROKEN" in demo.output
    assert "messages arrived out of the order of their key" in demo.output
    assert demo.left() == []


def test_a_relay_that_does_nothing_is_found_out(start: StartDemo, given: dict[str, str]) -> None:
    demo = start.of("/bin/sleep", "60", **given)
    assert demo.ended() == 1, demo.output
    assert "committed messages never arrived" in demo.output
    assert demo.left() == []


def test_a_relay_that_cannot_start_is_named_with_its_last_words(start: StartDemo, given: dict[str, str]) -> None:
    demo = start.of(sys.executable, "-c", "raise SystemExit('this relay is out of order')", **given)
    assert demo.ended() == 1, demo.output
    assert "relay-1 ended by itself; its last words: this relay is out of order" in demo.output


def test_a_second_demo_in_one_folder_is_refused_and_harms_nothing(start: StartDemo) -> None:
    first = start()
    first.until("starting Kafka")
    second = start()
    assert second.ended() == 2, second.output
    assert "another demo is running" in second.output
    assert (first.folder / ".demo").is_dir()
    first.signal(signal.SIGTERM)
    first.ended()


def test_a_database_that_does_not_answer_is_one_clear_line_without_its_password(start: StartDemo) -> None:
    demo = start(DATABASE_URL="postgresql://somebody:secret@127.0.0.1:1/school")
    assert demo.ended() == 1
    assert "127.0.0.1:1/school does not answer" in demo.output
    assert "secret" not in demo.output


def test_without_a_kafka_it_says_that_it_falls_back_and_what_that_weakens(
    start: StartDemo, postgres: Postgres, tmp_path: Path
) -> None:
    demo = start.of(*RELAY, DATABASE_URL=postgres.url(), PATH=str(tmp_path), JAVA_HOME="")
    assert demo.ended() == 0, demo.output
    assert "no Kafka can be had here: no Java was found" in demo.output
    assert demo.output.splitlines()[-1].startswith("the broker was an imitation: this says nothing about")
    assert demo.left() == []


def test_a_folder_that_a_killed_demo_left_is_taken_over(start: StartDemo, given: dict[str, str]) -> None:
    left = start.folder / ".demo" / "kafka"
    left.mkdir(parents=True)
    (left / "kafka.log").write_text("of a demo that was killed")
    demo = start.of("/bin/sleep", "60", **given)
    demo.until("dropped at the end")
    demo.signal(signal.SIGTERM)
    demo.ended()
    assert demo.left() == []
