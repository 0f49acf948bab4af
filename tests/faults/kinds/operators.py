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
class Pruned(Fault):
    """Slots are rotated and emptied, and old checkpoints deleted, at every moment; nothing is kept for long."""

    seed: int
    ring: type[Ring] = Ring

    @property
    def subjects(self) -> frozenset[str]:
        return frozenset({"postgres"})

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
class Answered(Fault):
    """Two operators at once replay and discard what is dead, and have sent messages published anew."""

    seed: int

    @property
    def subjects(self) -> frozenset[str]:
        return frozenset({"postgres"})

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


OPERATORS = (
    Kind("slots rotated and emptied", pruned, 2),
    Kind("held replayed and discarded", answered, 2),
)
