"""Puts a worker together and runs it: the order of starting and stopping, signals, metrics. Knows no message.

Stopping: SIGTERM or Ctrl-C sets a flag; the loop ends after what is in hand is committed, the offsets are committed,
the group is left, and the exit code is 0. A second signal ends the process at once, which costs a repeat that the
inbox skips.
"""

import logging
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from functools import partial
from threading import Event as Flag
from types import FrameType

import prometheus_client as prometheus

from app_integration.kafka_variables import judged_by_the_client
from app_integration.metrics_port import served
from app_integration.workers import database, migrate
from app_integration.workers.dead_letter import DeadLetters
from app_integration.workers.group import Group
from app_integration.workers.handling import Handling
from app_integration.workers.loop import Loop
from app_integration.workers.settings import KAFKA, Settings
from app_integration.workers.telemetry import Telemetry
from app_integration.workers.verdict import Outage
from app_integration.workers.worker import Worker
from relay.configuration import duration
from relay.errors import DatabaseUnreachable

log = logging.getLogger("app_integration.workers")

Beside = Callable[[Settings, prometheus.CollectorRegistry], AbstractContextManager[None]]
"""What works beside a loop, in threads of its own, until the loop has ended."""


def run(worker: Worker, settings: Settings, *, stop: Flag | None = None, beside: Sequence[Beside] = ()) -> None:
    """Run a worker until told to stop.

    Args:
        worker: what it does.
        settings: with what.
        stop: ends it; signals do too where this is the main thread and none is given.
        beside: what works beside it.

    Raises:
        DatabaseUnreachable: the database does not answer at the start; later it is waited for.
        SchemaError: there is no schema of the workers, or another one.
        SettingsError: Kafka's client refuses its properties, or the port is taken.
    """
    with ExitStack() as running:
        flag = stop or running.enter_context(_stopped_by_signals())
        demand_schema(settings)
        registry = prometheus.CollectorRegistry()
        telemetry = Telemetry(worker.name, registry)
        running.enter_context(served(settings.metrics_port, registry, "WORKER_METRICS_PORT"))
        for start in beside:
            running.enter_context(start(settings, registry))
        group = _join(worker, settings)
        running.callback(group.close)
        log.info("%s: started, process %d; topics %s", worker.name, os.getpid(), ", ".join(worker.topics))
        connect = partial(database.connect, settings.database_url, worker.name)
        Loop(
            worker,
            group,
            Handling(worker, DeadLetters(settings.properties).send, connect),
            connect,
            telemetry.tell,
            flag,
            duration.seconds(settings.retention),
        ).run()
    log.info("%s: stopped; all that was in hand is committed", worker.name)


def demand_schema(settings: Settings) -> None:
    """Look whether the schema is there, before anything starts."""
    try:
        with database.connect(settings.database_url, "start") as connection:
            migrate.demand(connection)
    except Outage as outage:
        raise DatabaseUnreachable(str(outage)) from None


def _join(worker: Worker, settings: Settings) -> Group:
    with judged_by_the_client(KAFKA):
        return Group(settings.properties, f"{settings.group_prefix}{worker.name}", worker.topics)


@contextmanager
def _stopped_by_signals() -> Iterator[Flag]:
    flag = Flag()

    def stop(number: int, _: FrameType | None) -> None:
        log.info("told to stop (%s): what is in hand is finished", signal.Signals(number).name)
        flag.set()
        # The next one acts as if nobody had caught it.
        signal.signal(number, signal.SIG_DFL)

    before = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield flag
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
