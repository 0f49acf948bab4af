"""What happens to topics while the broker is well: one takes less than before, one takes nothing, one is not there."""

import os
import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from tests.faults.kinds.fault import Fault, Kind, lasting
from tests.faults.stage import Stage
from tests.fuzz.writers import INSERT

ENQUEUE = """
-- enqueue: twenty messages of four keys
insert into outbox.message (topic, key, payload)
select %s, 'locked-' || n %% 4, 'for a topic of its own' from generate_series(1, 20) as n
"""

JUDGE_LOOKS_SECONDS = 2.5
"""Until the judge, which looks once a second what topics there are, has surely seen that one is gone."""

LOCKS = """
-- locks: of the keys of a burst, as the crowd takes them
select pg_advisory_xact_lock(hashtextextended('locked-' || n, 7)) from generate_series(0, 3) as n
"""

WRITTEN = """
-- written: the messages of a topic
select id::text from public.ledger where topic = %s
"""


class OfTopic(Fault):
    """A fault of a topic; administrators' requests need both servers."""

    @property
    def subjects(self) -> frozenset[str]:
        return frozenset({"kafka", "postgres"})


@dataclass(frozen=True, slots=True)
class SettingChanged(OfTopic):
    """A topic's setting refuses what was written for it, until it is taken back."""

    topic: str
    setting: str
    value: str

    @contextmanager
    def befall(self, stage: Stage) -> Iterator[None]:
        stage.set_topic(self.topic, self.setting, self.value)
        yield
        stage.set_topic(self.topic, self.setting, None)

    def __str__(self) -> str:
        return f"{self.topic}, for {self.seconds:.1f} s"


class Shrunk(SettingChanged):
    """A topic takes less than before: of a burst of messages of few keys, some are too large now and some are not."""

    @contextmanager
    def befall(self, stage: Stage) -> Iterator[None]:
        stage.set_topic(self.topic, self.setting, self.value)
        with stage.administer() as application, application.transaction(), application.cursor() as cursor:
            cursor.execute(LOCKS)
            cursor.executemany(INSERT, [(self.topic, f"locked-{n % 4}", os.urandom(n * 37 % 300)) for n in range(600)])
        yield
        stage.set_topic(self.topic, self.setting, None)


@dataclass(frozen=True, slots=True)
class Missing(OfTopic):
    """Messages are written for a topic that is made only later."""

    topic: str

    @property
    def topics(self) -> tuple[str, ...]:
        return (self.topic,)

    @contextmanager
    def befall(self, stage: Stage) -> Iterator[None]:
        enqueue(stage, self.topic)
        yield
        stage.make_topic(self.topic, 2)

    def __str__(self) -> str:
        return f"{self.topic}, for {self.seconds:.1f} s"


class Deleted(Missing):
    """A topic that is in use is deleted, written for all the same, and made again."""

    @property
    def needs_calm(self) -> bool:
        return True

    @contextmanager
    def befall(self, stage: Stage) -> Iterator[None]:
        stage.make_topic(self.topic, 2)
        enqueue(stage, self.topic)
        # What the judge has not read by then is gone by our own hand.
        assert_read(stage, self.topic)
        stage.delete_topic(self.topic)
        # Its client would go on at the same offset of the new topic, and see a repeat before what it repeats.
        time.sleep(JUDGE_LOOKS_SECONDS)
        enqueue(stage, self.topic)
        yield
        stage.make_topic(self.topic, 2)


def enqueue(stage: Stage, topic: str) -> None:
    """Write messages for a topic."""
    with stage.administer() as application:
        application.execute(ENQUEUE, (topic,))


def assert_read(stage: Stage, topic: str) -> None:
    """Wait until the judge has all that is committed for a topic."""
    with stage.administer() as application:
        written = {id_ for (id_,) in application.execute(WRITTEN, (topic,))}
    assert stage.watch.wait_for(lambda seen: written <= {message.id for message in seen}, 60), (
        f"{topic} was not read within a minute though nothing was wrong with it"
    )


def _shrunk(random_: random.Random) -> Fault:
    return Shrunk(lasting(random_, 4), "payments", "max.message.bytes", "450")


def _refusing(random_: random.Random) -> Fault:
    # Whatever is written is older than 0 ms when the broker looks at it. (It would be natural to demand more replicas
    # than there are, but a broker demands no more than a partition has.)
    topic = random_.choice(["orders", "payments"])
    return SettingChanged(lasting(random_, 4), topic, "message.timestamp.before.max.ms", "0")


def _missing(random_: random.Random) -> Fault:
    return Missing(lasting(random_, 4), f"late-{random_.getrandbits(32):08x}")


def _deleted(random_: random.Random) -> Fault:
    return Deleted(lasting(random_, 4), f"doomed-{random_.getrandbits(32):08x}")


TOPICS = (
    Kind("topic takes less", _shrunk, 2),
    Kind("topic takes nothing", _refusing, 2),
    Kind("topic is missing", _missing, 2),
    Kind("topic is deleted", _deleted, 2),
)
