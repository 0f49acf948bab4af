"""All of Edu Matrix around one database: the application with its page, a relay, and workers, in topics of its own."""

import json
import subprocess
import sys
from collections.abc import Mapping
from contextlib import ExitStack
from typing import Self

from app_integration.contracts import KAFKA_TOPICS
from tests.command import environment
from tests.integration.edu_matrix import Application

WORKERS = {
    "notification": KAFKA_TOPICS.NOTIFICATION_QUEUE,
    "analytics": KAFKA_TOPICS.ANALYTICS_EVENTS,
    "audit": KAFKA_TOPICS.AUDIT_LOGS,
}


class World:
    """Runs until it is left.

    Args:
        database_url: with the outbox in it.
        brokers: of Kafka.
        names: the names in Kafka of all logical topics, which exist.
        workers: which run.
    """

    def __init__(self, database_url: str, brokers: str, names: Mapping[str, str], workers: tuple[str, ...]) -> None:
        self._stack = ExitStack()
        both = {"DATABASE_URL": database_url, "KAFKA_BROKERS": brokers}
        topics = json.dumps({logical: {"name": name} for logical, name in names.items()})
        subprocess.run(
            [sys.executable, "-m", "app_integration", "worker", "migrate"], env=environment(**both), check=True
        )
        self._start("-m", "relay", "run", "--wait", "60", **both, RELAY_TOPICS=topics)
        for name in workers:
            own = {"WORKER_TOPIC": names[WORKERS[name]], "WORKER_GROUP_PREFIX": f"{names[WORKERS[name]]}-"}
            self._start("-m", "app_integration", "worker", name, **both, **own)
        self.edu = self._stack.enter_context(Application(database_url, EDU_MATRIX_PAGE="1"))
        self.page = f"{self.edu.url}/api/kafka-example"

    def _start(self, *command: str, **variables: str) -> None:
        process = subprocess.Popen(
            [sys.executable, *command],
            env=environment(**variables),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self._stack.callback(process.wait, 60)
        self._stack.callback(process.terminate)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()
