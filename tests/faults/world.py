"""A small world to break: relays in processes of their own, writers of every kind, and a judge that reads the topic."""

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psycopg

from relay import locks
from relay.judge import Seen, Verdict, Watch, verdict, watching
from relay.local.process import GUARD
from tests.fuzz.writers import committed, settle_prepared

OWNERS = """
-- owners: the relay that holds each shard
select objid::int, application_name from pg_locks join pg_stat_activity using (pid)
where locktype = 'advisory' and classid::bigint = %s and objsubid = 2 and granted
  and pg_locks.database = (select oid from pg_database where datname = current_database())
"""


class RelayProcess:
    """One `relay run`, or another command; its log goes to a file, so that a failing test can show it.

    Args:
        name: of the relay.
        environment: its settings.
        folder: for its log.
        command: what it is told to do.
        program: the module to run: the relay, or one that breaks it on purpose.
        within: a program that runs it, with its arguments.
    """

    def __init__(
        self,
        name: str,
        environment: dict[str, str],
        folder: Path,
        command: Sequence[str],
        *,
        program: Sequence[str] = ("relay",),
        within: Sequence[str] = (),
    ) -> None:
        self.name = name
        self.log = folder / f"{name}.log"
        self._command = [*within, sys.executable, "-m", *program, *command]
        self._environment = {**environment, "RELAY_NAME": name}
        self._guard: subprocess.Popen[bytes] | None = None
        self.start()

    def start(self) -> None:
        """Start it, again or for the first time."""
        self._dismiss_guard()
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(self._command, env=self._environment, stdout=log, stderr=log)
        # Also a test run that is killed leaves no relay behind, which would look for its servers for ever.
        self._guard = subprocess.Popen(
            ["/bin/sh", "-c", GUARD, "guard", "KILL", str(self.process.pid)], stdin=subprocess.PIPE
        )

    def send(self, number: signal.Signals) -> None:
        """Send a signal."""
        self.process.send_signal(number)

    def kill(self) -> None:
        """End it without warning."""
        self.process.kill()
        self.process.wait()
        self._dismiss_guard()

    def terminate(self, seconds: float = 10) -> int:
        """Ask it to stop; return its exit code, or raise when it takes longer than it may."""
        self.process.terminate()
        code = self.process.wait(seconds)
        self._dismiss_guard()
        return code

    def _dismiss_guard(self) -> None:
        """Before somebody else has the number of a process that has ended."""
        if self._guard is not None:
            self._guard.kill()
            self._guard.communicate()
            self._guard = None

    def said(self, words: str) -> bool:
        """Whether its log has some words."""
        return words in self.log.read_text()


class World:
    """Where a test breaks things.

    Args:
        database_url: an outbox of the test's own.
        brokers: a Kafka.
        topic: a topic of the test's own.
        folder: for logs.
    """

    def __init__(self, database_url: str, brokers: str, topic: str, folder: Path) -> None:
        self.database_url = database_url
        self.brokers = brokers
        self.topic = topic
        self._folder = folder
        self._relays: list[RelayProcess] = []

    def relay(
        self,
        name: str,
        command: Sequence[str] = ("run", "--wait", "60"),
        within: Sequence[str] = (),
        **settings: str,
    ) -> RelayProcess:
        """Start a relay; `within` is the program that starts it, with its arguments, such as `ip netns exec NAME`."""
        inherited = {key: value for key, value in os.environ.items() if not key.startswith("RELAY_")}
        environment = {**inherited, "DATABASE_URL": self.database_url, "KAFKA_BROKERS": self.brokers, **settings}
        self._relays.append(RelayProcess(name, environment, self._folder, command, within=within))
        return self._relays[-1]

    def owners(self) -> Counter[str]:
        """How many shards each relay holds."""
        with psycopg.connect(self.database_url) as connection:
            held = connection.execute(OWNERS, (locks.LEASE,)).fetchall()
        return Counter(name.removeprefix(locks.application_name("")) for _, name in held)

    def wait_until_owned(self, seconds: float = 45, **shards: int) -> None:
        """Wait until the shards are shared out in a certain way."""
        wait_until(lambda: self.owners() == Counter(shards), seconds, lambda: f"{self.owners()}, not {shards}")

    def enqueue(self, count: int, key: str = "locked-k", payload: bytes = b"x", topic: str | None = None) -> None:
        """Commit messages, each in a transaction of its own."""
        with psycopg.connect(self.database_url, autocommit=True) as connection:
            for _ in range(count):
                connection.execute(
                    "insert into outbox.message (topic, key, payload) values (%s, %s, %s)",
                    (topic or self.topic, key, payload),
                )

    def states(self, topic: str | None = None) -> Counter[str]:
        """How many messages of a topic are in which state."""
        with psycopg.connect(self.database_url) as connection:
            found = connection.execute(
                "select state, count(*) from outbox.message_state where topic = %s group by state",
                (topic or self.topic,),
            ).fetchall()
        return Counter(dict(found))

    def committed(self) -> list[tuple[str, str, str | None]]:
        """All that must arrive: id, topic and key, in order; free keys have none."""
        settle_prepared(self.database_url)
        rows = committed(self.database_url, self.topic)
        return [(id_, self.topic, key if key.startswith("locked") else None) for id_, key in rows]

    @contextmanager
    def judged(self) -> Iterator["Judge"]:
        """Run a judge while the block lasts."""
        with watching(self.brokers, [self.topic]) as watch:
            yield Judge(self, watch)

    def close(self) -> None:
        """End what is left."""
        for relay in self._relays:
            if relay.process.poll() is None:
                relay.send(signal.SIGCONT)
            relay.kill()


class Judge:
    """Waits for what was committed, and counts."""

    def __init__(self, world: World, watch: Watch) -> None:
        self._world = world
        self._watch = watch

    def arrived(self, count: int, seconds: float = 30) -> None:
        """Wait until so many different messages have come."""
        assert self._watch.wait_for(lambda seen: len(_distinct(seen)) >= count, seconds), (
            f"{len(_distinct(self._watch.seen))} of {count} messages came within {seconds} s"
        )

    @property
    def seen(self) -> list[Seen]:
        """All that has come by now."""
        return self._watch.seen

    def arrived_of_key(self, key: str, count: int, seconds: float = 30) -> None:
        """Wait until so many different messages of a key have come."""

        def enough(seen: list[Seen]) -> bool:
            return len(_distinct([message for message in seen if message.key == key])) >= count

        assert self._watch.wait_for(enough, seconds), f"{count} messages of {key} did not come within {seconds} s"

    def verdict(self, seconds: float = 60) -> Verdict:
        """Wait until everything committed has come, then count it all; what has not come by then is lost."""
        expected = self._world.committed()
        ids = {id_ for id_, _, _ in expected}
        self._watch.wait_for(lambda seen: ids <= _distinct(seen), seconds)
        found = verdict(expected, (), self._watch.finish())
        print(found)
        return found


def _distinct(seen: list[Seen]) -> set[str | None]:
    return {message.id for message in seen}


def wait_until(holds: Callable[[], bool], seconds: float, why: Callable[[], str] = lambda: "it never held") -> None:
    """Wait until something holds; fail with a reason when it does not in time."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, f"after {seconds} s: {why()}"
        time.sleep(0.02)


@contextmanager
def world(database_url: str, brokers: str, topic: str, folder: Path) -> Iterator[World]:
    """Make a world, and leave nothing of it."""
    with ExitStack() as cleanup:
        made = World(database_url, brokers, topic, folder)
        cleanup.callback(made.close)
        yield made
