"""Runs parts one after the other, on the servers of the settings or on throwaway ones, and leaves nothing behind.

What a server or the machine refuses ends it in words; whatever ends it, everything that was made is removed.
"""

import errno
import tempfile
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from pathlib import Path

import psycopg
from confluent_kafka import KafkaException

from relay.bench.figure import Figure
from relay.bench.ground import Ground
from relay.bench.part import Part
from relay.bench.report import Report, machine
from relay.bench.scale import Scale
from relay.bench.table import Watch
from relay.configuration.settings import Settings
from relay.connection import first_line, where
from relay.errors import BrokerUnreachable, DatabaseUnfit, DatabaseUnreachable, RelayError, UserMistake, WorkFailed
from relay.local.interruption import no_child_left
from relay.local.services import services
from relay.publishing.broker import reachable

SILENT = ("_TRANSPORT", "_TIMED_OUT", "_ALL_BROKERS_DOWN")
"""What librdkafka says where no broker says anything."""


def play(
    parts: Sequence[Part],
    scale: Scale,
    settings: Settings,
    watch: Watch,
    *,
    armed: Callable[[], AbstractContextManager[None]] = nullcontext,
    keep: Callable[[str, Report], object] = lambda *_: None,
) -> Report:
    """Measure.

    Args:
        parts: what.
        scale: how large.
        settings: where the servers are, and how Kafka is reached; a server that they do not name is started.
        watch: follows.
        armed: gives the context in which it may be interrupted; what it made is removed outside of that.
        keep: is given each part's name and what it found, once it is over.

    Raises:
        UserMistake: a server is named that cannot be used.
        WorkFailed: a server is silent, or what is measured failed.
    """
    figures: list[Figure] = []
    with no_child_left(), ExitStack() as made, armed():
        ground = made.enter_context(_ground(settings, watch))
        # Before the topics go: a process that still writes would make its topic again.
        made.enter_context(no_child_left())
        _try(ground)
        about = machine(ground.server_url)
        for part in parts:
            found = list(_measured(part, ground, scale, watch))
            keep(part.name, Report(about, found))
            figures += found
            watch.done(part)
    return Report(about, figures)


@contextmanager
def _ground(settings: Settings, watch: Watch) -> Iterator[Ground]:
    """Find or start the servers; at the end nothing is left on them."""
    with tempfile.TemporaryDirectory(prefix="relay-bench-") as folder:
        if not (settings.database_url and settings.kafka_brokers):
            watch.say("starting throwaway servers (the first time Kafka's jars, 43 MB, are downloaded)")
        with services(Path(folder), settings.database_url, settings.kafka_brokers) as given:
            reachable(settings.model_copy(update={"kafka_brokers": given.kafka_brokers}))
            ground = Ground(given.database_url, given.kafka_brokers, Path(folder), settings.kafka)
            try:
                yield ground
            finally:
                for left in ground.sweep():
                    watch.say(f"could not be removed: {left}")


def _try(ground: Ground) -> None:
    """Do now what could be refused, not after minutes."""
    with ground.outbox():
        try:
            with ground.topic():
                pass
        except KafkaException as error:
            reason = error.args[0]
            if reason.name() in SILENT:
                raise BrokerUnreachable(f"kafka at {ground.brokers} does not answer: {reason.str()}") from None
            raise UserMistake(
                f"kafka at {ground.brokers} refuses to create a topic, and no other than an own one is written "
                f"to here: {reason.str()}; allow it to this client, or unset KAFKA_BROKERS"
            ) from None


def _measured(part: Part, ground: Ground, scale: Scale, watch: Watch) -> Iterator[Figure]:
    """Measure a part; what it made is gone afterwards, also when it is interrupted between two figures."""
    figures = part.measure(ground, scale, watch.say)
    try:
        yield from figures
    except (psycopg.Error, KafkaException, OSError) as error:
        reason = _in_words(error, part, ground)
        if reason is None:
            raise
        raise reason from error
    finally:
        if isinstance(figures, Generator):
            figures.close()


def _in_words(error: Exception, part: Part, ground: Ground) -> RelayError | None:
    """Say what ended a part; None for what is our own fault."""
    if isinstance(error, KafkaException):
        return WorkFailed(f"kafka at {ground.brokers} fails in part {part.name}: {error.args[0].str()}")
    server = f"PostgreSQL at {where(ground.server_url)}"
    if isinstance(error, psycopg.errors.InsufficientPrivilege):
        return DatabaseUnfit(f"{server} refuses what part {part.name} needs: {first_line(error)}")
    if isinstance(error, psycopg.OperationalError) and error.sqlstate is None:
        return DatabaseUnreachable(f"{server} went away in part {part.name}: {first_line(error)}")
    if isinstance(error, psycopg.OperationalError):
        return WorkFailed(f"{server} fails in part {part.name}: {first_line(error)}")
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return WorkFailed(f"part {part.name} has no room left on the disk: {error}")
    return None
