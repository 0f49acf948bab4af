"""Calls of librdkafka that last longer than they were told to are waited for no longer.

librdkafka waits until a time of day (`cnd_timedwait`, by CLOCK_REALTIME). When the clock is set back meanwhile, by an
hour, the call lasts an hour longer, and so do the waits of librdkafka's own threads, those between two attempts to
connect among them: while Kafka is away nothing happens that would wake any of them (tried). Emptying the producer wakes
a flush. A question to Kafka is woken by nothing; it is asked on a thread of its own, and given up with its producer.

Guarantees: a producer is emptied only from within a call that waits, so nothing that is queued behind it can pass what
was in it; what was queued counts as not sent, and is sent again by a new producer.
"""

import queue
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from confluent_kafka import KafkaException, Producer

if TYPE_CHECKING:
    from confluent_kafka.admin import ClusterMetadata  # type: ignore[attr-defined]

LOOK_SECONDS = 0.5

OVERDUE_SECONDS = 1.0
"""So much longer than it was told to may a call last; a busy machine is no reason to empty a producer."""


class Waker:
    """Watches over the calls of this process, on a thread that begins with the first of them."""

    def __init__(self) -> None:
        self._changing = threading.Lock()
        self._calls: dict[int, tuple[float, Producer]] = {}
        """By the thread that waits: until when it may, and for which producer."""
        self._thread: threading.Thread | None = None

    @contextmanager
    def waiting(self, producer: Producer, seconds: float) -> Iterator[None]:
        """Wake whatever waits in the block, should it last longer than so many seconds."""
        caller = threading.get_ident()
        with self._changing:
            self._calls[caller] = time.monotonic() + seconds + OVERDUE_SECONDS, producer
            if self._thread is None:
                self._thread = threading.Thread(target=self._watch, name="outbox-waker", daemon=True)
                self._thread.start()
        try:
            yield
        finally:
            # Not before an emptying that has begun is over: the caller may queue messages at once.
            with self._changing:
                del self._calls[caller]

    def _watch(self) -> None:
        while True:
            time.sleep(LOOK_SECONDS)
            with self._changing:
                now = time.monotonic()
                for until, producer in self._calls.values():
                    if now > until:
                        producer.purge(blocking=False)


WAKER = Waker()


def topics_of(producer: Producer, seconds: float) -> "ClusterMetadata":
    """Ask Kafka about all its topics.

    Raises:
        KafkaException: it does not answer.
        TimeoutError: not even that is known in time; the producer may be of no use any more.
    """
    said: queue.SimpleQueue[ClusterMetadata | KafkaException] = queue.SimpleQueue()
    # Daemonic, for a call that lasts an hour must not hold the end of the process.
    threading.Thread(target=_ask, args=(producer, seconds, said.put), name="outbox-asking", daemon=True).start()
    try:
        answer = said.get(timeout=seconds + OVERDUE_SECONDS)
    except queue.Empty:
        raise TimeoutError from None
    if isinstance(answer, KafkaException):
        raise answer
    return answer


def _ask(producer: Producer, seconds: float, say: "Callable[[ClusterMetadata | KafkaException], None]") -> None:
    try:
        say(producer.list_topics(timeout=seconds))
    except KafkaException as error:
        say(error)
