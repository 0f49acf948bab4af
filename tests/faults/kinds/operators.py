"""What operators and their tools do while everything goes on; nothing is broken, and nothing may break."""

import random
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass

import psycopg

from relay.retention.ring import Ring
from tests.faults.kinds.fault import Fault, Kind, lasting
from tests.faults.stage import Stage
from tests.fuzz.pruning import Pruner

DEAD = """
-- dead
select id from outbox.held_state where topic = 'letters' and state = 'dead'
"""

ANEW = """
-- anew
select * from outbox.replay('lost by a consumer', topic => 'orders', key => %s, sent => true,
                            after => clock_timestamp() - interval '20 s')
"""


@dataclass(frozen=True, slots=True)
class Act(Fault):
    """What is done in PostgreSQL by whoever may."""

    @property
    def subjects(self) -> frozenset[str]:
        return frozenset({"postgres"})


@dataclass(frozen=True, slots=True)
class Pruned(Act):
    """Slots are rotated and emptied, and old checkpoints deleted, at every moment; nothing is kept for long."""

    seed: int
    ring: type[Ring] = Ring

    @contextmanager
    def befall(self, stage: Stage) -> Iterator[None]:
        pruner = Pruner(stage.url, self.ring, self.seed)
        try:
            yield
        finally:
            pruner.stop()


def pruned(random_: random.Random) -> Fault:
    """Draw one."""
    return Pruned(2 + lasting(random_, 4), random_.getrandbits(32))


@dataclass(frozen=True, slots=True)
class Answered(Act):
    """Two operators at once replay and discard what is dead, and have sent messages published anew."""

    seed: int

    @contextmanager
    def befall(self, stage: Stage) -> Iterator[None]:
        over = threading.Event()
        with ThreadPoolExecutor(2) as threads:
            answers = [threads.submit(answer, stage, random.Random(self.seed + number), over) for number in range(2)]
            try:
                yield
            finally:
                over.set()
        for each in answers:
            each.result()


def answer(stage: Stage, random_: random.Random, over: threading.Event) -> None:
    """Be one operator for a while."""
    acts = (replay_dead, discard_dead, publish_anew)
    with stage.administer() as operator:
        while not over.wait(random_.uniform(0, 0.3)):
            # Another operator, or a relay, may have been sooner: then nothing is done, and it says so.
            with suppress(psycopg.errors.ObjectNotInPrerequisiteState):
                random_.choice(acts)(operator, stage, random_)


def replay_dead(operator: "psycopg.Connection", _stage: Stage, _random: random.Random) -> None:
    """Try once more what Kafka refused."""
    operator.execute("select * from outbox.replay('once more', topic => 'letters', state => 'dead')")


def discard_dead(operator: "psycopg.Connection", stage: Stage, random_: random.Random) -> None:
    """Give some of it up."""
    dead = [id_ for (id_,) in operator.execute(DEAD)]
    if chosen := random_.sample(dead, min(len(dead), 2)):
        # Before the act: what is not heard of it may have been done all the same.
        stage.discarded.update(map(str, chosen))
        operator.execute("select * from outbox.discard('give up', ids => %s)", (chosen,))


def publish_anew(operator: "psycopg.Connection", _stage: Stage, random_: random.Random) -> None:
    """Let consumers have the messages of a key once more, as far as they are kept."""
    operator.execute(ANEW, (f"locked-{random_.randrange(40)}",))


def answered(random_: random.Random) -> Fault:
    """Draw one."""
    return Answered(2 + lasting(random_, 3), random_.getrandbits(32))


@dataclass(frozen=True, slots=True)
class Paused(Act):
    """A topic is paused for a while. What was written for it meanwhile must come once it is resumed, in order."""

    topic: str

    @contextmanager
    def befall(self, stage: Stage) -> Iterator[None]:
        with stage.administer() as operator:
            operator.execute("select outbox.pause(%s, 'its consumer is ill', unknown => true)", (self.topic,))
        yield
        let_go(stage, self.topic)

    def __str__(self) -> str:
        return f"{self.topic}, for {self.seconds:.1f} s"


@dataclass(frozen=True, slots=True)
class Ruled(Act):
    """An operator pauses, resumes and limits topics at every moment, and lets all of them go in the end."""

    seed: int
    ruled: tuple[str, ...] = ("orders", "payments")

    @contextmanager
    def befall(self, stage: Stage) -> Iterator[None]:
        over = threading.Event()
        with ThreadPoolExecutor(1) as thread:
            ruling = thread.submit(self._rule, stage, over)
            try:
                yield
            finally:
                over.set()
        ruling.result()
        let_go(stage, *self.ruled)

    def _rule(self, stage: Stage, over: threading.Event) -> None:
        random_ = random.Random(self.seed)
        with stage.administer() as operator:
            while not over.wait(random_.uniform(0, 0.4)):
                topic, rate = random_.choice(self.ruled), random_.choice([None, 20, 200, 2_000])
                act = random_.choice(["pause", "resume", "limit"])
                more = {"limit": ", rate => %(rate)s, unknown => true", "pause": ", unknown => true"}.get(act, "")
                statement = f"select outbox.{act}(topic => %(topic)s{more}, why => 'to see what happens')"
                operator.execute(statement.encode(), {"topic": topic, "rate": rate})


def let_go(stage: Stage, *topics: str) -> None:
    """Take back whatever was said of topics."""
    with stage.administer() as operator:
        for topic in topics:
            operator.execute("select outbox.resume(%s, 'it is well')", (topic,))
            operator.execute("select outbox.limit(%s, null, 'it is well')", (topic,))


def paused(random_: random.Random) -> Fault:
    """Draw one."""
    return Paused(1 + lasting(random_, 5), random_.choice(["orders", "payments", "letters"]))


def ruled(random_: random.Random) -> Fault:
    """Draw one."""
    return Ruled(2 + lasting(random_, 4), random_.getrandbits(32))


OPERATORS = (
    Kind("slots rotated and emptied", pruned, 2),
    Kind("held replayed and discarded", answered, 2),
    Kind("topic paused", paused, 2),
    Kind("topics paused and limited by turns", ruled, 2),
)
