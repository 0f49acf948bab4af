"""Workers whose effect is outside the database are killed in the middle of it: nothing is lost, nothing comes twice but
what was in hand, and that under its own name. A worker that breaks the promise is found out by the same count.
"""

import json
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from functools import partial
from itertools import count
from pathlib import Path

import pytest
from confluent_kafka import Consumer, TopicPartition

from app_integration.workers.integrations import endpoints
from app_integration.workers.settings import Settings
from relay.local.process import free_port
from tests.endtoend.counting import mails
from tests.endtoend.mail_server import PATIENCE
from tests.endtoend.notes import Notes, read
from tests.endtoend.seat import Role, Seat
from tests.endtoend.stage import listens
from tests.endtoend.subscriber import subscriber
from tests.endtoend.tally import Death, Line, Post, excused_mails, excused_posts, line
from tests.integration.workers.conftest import Connection, Produce, rows, variables, wait_until
from tests.services import PARTITIONS

pytestmark = pytest.mark.timeout(400)

EVENTS = 60
KILLS = 2
COMMIT_MS = 3_000
"""Between two commits of offsets: long enough for something to be repeated, short enough to be waited for."""
SUBJECT = "Welcome!"


class Place:
    """Where processes run that are killed, with their notes.

    Args:
        folder: for both.
        topic: in Kafka.
        settings: of workers.
        running: what ends them.
    """

    def __init__(self, folder: Path, topic: str, settings: Settings, running: ExitStack) -> None:
        self.folder = folder
        self.deaths = Notes(folder / "deaths.jsonl")
        self.group, self.topic, self.brokers = settings.group_prefix, topic, settings.kafka_brokers
        self._running = running
        self.port = free_port()
        self._variables = variables(
            settings,
            topic,
            WORKER_KAFKA_AUTO_COMMIT_INTERVAL_MS=str(COMMIT_MS),
            SMTP_HOST="127.0.0.1",
            SMTP_PORT=str(self.port),
            SMTP_SECURITY="none",
            SMTP_FROM="mail@edu.example",
            SMTP_TIMEOUT_SECONDS=str(PATIENCE),
        )

    def seat(self, name: str, program: Sequence[str], command: Sequence[str], ready: Callable[[], bool]) -> Seat:
        """Start a process."""
        made = Seat(Role(name, program, command, ready), self.folder, self._variables, self.deaths)
        self._running.callback(made.close)
        made.start()
        return made

    def mail_server(self) -> Seat:
        """Start an SMTP server, and wait until it listens."""
        ready = partial(listens, self.port)
        command = (str(self.port), str(self.folder / "mails.jsonl"))
        made = self.seat("mail server", ("tests.endtoend.mail_server",), command, ready)
        wait_until(ready, "the mail server listens")
        return made

    def died(self) -> list[Death]:
        """Who was killed."""
        return [Death(note["process"], note["at"]) for note in read(self.folder / "deaths.jsonl", "killed")]

    def taken(self, seat: Seat) -> int:
        """How many mails the server has taken from who sat somewhere."""
        notes = read(self.folder / "mails.jsonl", "taken")
        return sum(note["by"].rpartition(".")[0] == seat.name for note in notes)

    def passed(self, consumer: str) -> bool:
        """Whether its group has passed all that is in the topic."""
        client = Consumer({"bootstrap.servers": self.brokers, "group.id": f"{self.group}{consumer}", "log_level": 0})
        try:
            asked = [TopicPartition(self.topic, number) for number in range(PARTITIONS)]
            ends = [client.get_watermark_offsets(one, timeout=10)[1] for one in asked]
            return all(max(0, one.offset) == end for one, end in zip(client.committed(asked, 10), ends, strict=True))
        finally:
            client.close()


@pytest.fixture
def place(tmp_path: Path, topic: str, settings: Settings) -> Iterator[Place]:
    with ExitStack() as running:
        yield Place(tmp_path, topic, settings, running)


@contextmanager
def frozen(seat: Seat, seconds: float) -> Iterator[None]:
    """Freeze somebody for so long, then until the block ends."""
    seat.send(signal.SIGSTOP)
    time.sleep(seconds)
    yield
    seat.send(signal.SIGCONT)


@contextmanager
def queueing(topic: str, produce: Produce) -> Iterator[list[str]]:
    """Queue mails until the block ends; gives the recipients."""
    stop, due = threading.Event(), list[str]()

    def queue() -> None:
        for number in count():
            to = f"user{number}@example.com"
            mail = {"to": to, "subject": SUBJECT, "template": "welcome", "data": {"name": "Ada"}}
            produce(topic, json.dumps(mail).encode(), key=f"k{number}", ce_type="email.v1")
            due.append(to)
            if stop.wait(0.1):
                return

    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(queue)
        try:
            yield due
        finally:
            stop.set()
        running.result()


def mailed(place: Place, session: Connection, produce: Produce, program: Sequence[str], rounds: int = 1) -> Line:
    """Have mails sent by two workers that are killed, in rounds; count what the mail server took.

    The first one is killed with a mail in hand that the server does not take, long after it could commit the offsets of
    all that it has handled; the other in the middle of its work, with offsets that it could not commit yet.
    """
    server = place.mail_server()
    workers = [place.seat(f"email {name}", program, ("worker", "email"), lambda: True) for name in ("one", "two")]
    with queueing(place.topic, produce) as due:
        for victim, seconds in [*zip(workers, (COMMIT_MS / 1000 + 0.5, 0.0), strict=True)] * rounds:
            since = place.taken(victim)
            wait_until(lambda who=victim, least=since + 10: place.taken(who) >= least, "it has sent mails")  # type: ignore[misc]
            with frozen(server, seconds):
                victim.kill()
            victim.start()
    wait_until(lambda: place.passed("email"), "the group is at the end", 90)
    wait_until(lambda: rows(session, "select count(*) from worker.held") == [(0,)], "nothing is held", 90)
    assert [each.leave() for each in workers] == [0, 0]
    copies = mails(read(place.folder / "mails.jsonl", "taken", "answered"))
    return line(
        "mail",
        [(to, SUBJECT) for to in due],
        [(copy.to, copy.subject) for copy in copies],
        excused_mails(copies, place.died()),
    )


def test_email_workers_that_are_killed_with_a_mail_in_hand_lose_none_and_repeat_that_one_at_most(
    place: Place, session: Connection, produce: Produce
) -> None:
    found = mailed(place, session, produce, ("app_integration",))
    assert not found.broken, found
    assert found.due == found.once + sum(found.repeated.values())


@pytest.mark.parametrize(
    ("breakage", "promise"), [("offsets_before_effect", "missing"), ("inbox_not_written", "doubled")]
)
def test_email_worker_that_breaks_the_promise_is_noticed(
    breakage: str, promise: str, place: Place, session: Connection, produce: Produce
) -> None:
    found = mailed(place, session, produce, ("tests.endtoend.program", breakage), rounds=3)
    assert getattr(found, promise) > 0


def test_webhook_worker_that_is_killed_with_a_delivery_on_the_wire_repeats_that_one_and_rests_no_minute(
    place: Place, session: Connection, produce: Produce
) -> None:
    notes = place.folder / "posts.jsonl"
    with subscriber(Notes(notes)) as address:
        endpoint, _ = endpoints.add(session, address, allow_private=True)
        for number in range(EVENTS):
            told = {"userId": f"u{number}", "email": "ada@example.com", "userType": "student"}
            produce(place.topic, json.dumps(told).encode(), key=f"u{number}", ce_type="user_registered.v1")
        worker = place.seat("integrations", ("app_integration",), ("worker", "integrations"), lambda: True)
        for _ in range(KILLS):
            before = len(read(notes, "posted"))
            # Sooner than the claim of who was killed would run out.
            wait_until(lambda least=before + 10: len(read(notes, "posted")) >= least, "posts come", 45)  # type: ignore[misc]
            worker.kill()
            worker.start()
        left = "select count(*) from worker.delivery where delivered_at is null"
        delivered = "select count(*) from worker.delivery where endpoint = %(id)s and delivered_at is not null"
        wait_until(lambda: rows(session, delivered, id=endpoint) == [(EVENTS,)], "all are delivered", 45)
        assert rows(session, left) == [(0,)]
        assert worker.leave() == 0
        posts = [Post(note["id"], note["id"], note["at"]) for note in read(notes, "posted")]
    ids = [row[0] for row in rows(session, "select ce_id from worker.delivery")]
    found = line("webhook", ids, [post.event for post in posts], excused_posts(posts, place.died()))
    assert not found.broken, found
    assert sum(found.repeated.values()) <= KILLS
