"""What makes a worker: its name, its topics, what it does with a message, and how it fails. A noun.

    def index(connection, message):
        course = json.loads(message.value)
        connection.execute("insert into search (id, title) values (%s, %s)", (course["id"], course["title"]))

    search = Worker("search", ("business-events",), index)

`python -m app_integration worker run shop.search:search` runs it.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

from app_integration.workers.backoff import Backoff
from app_integration.workers.received import Received

if TYPE_CHECKING:
    import psycopg

Connection: TypeAlias = "psycopg.Connection[Any]"

Handle: TypeAlias = Callable[[Connection, Received], None]
"""Has the effect of one message, in the transaction that is open on the connection, or raises a verdict."""

HandleMany: TypeAlias = Callable[[Connection, Sequence[Received]], None]
"""Has the effect of many, the same as one after the other would. If it raises, all is undone and each is handled by
itself, so that a message's failure is found to be its own."""

NAME = re.compile(r"[a-z][a-z0-9-]{0,39}")


@dataclass(frozen=True, slots=True)
class Worker:
    """A consumer of topics that has one effect for each message.

    Args:
        name: of its inbox, its consumer group and its metrics. With another name it begins anew.
        topics: in Kafka.
        handle: has a message's effect.
        handle_many: has the effect of many, where that is faster; instead of `handle`, and for one alone too.
        batch: how many messages share a transaction. 1 where the effect is outside the database, for what was done
            there cannot be undone when a later message of the batch fails.
        ordered: whether later messages of a topic and key wait while an earlier one is retried. They go on when it
            is dead.
        backoff: when a message that failed is tried again, and when it is given up.
    """

    name: str
    topics: tuple[str, ...]
    handle: Handle | None = None
    handle_many: HandleMany | None = None
    batch: int = 200
    ordered: bool = False
    backoff: Backoff = field(default_factory=Backoff)

    def __post_init__(self) -> None:
        if not NAME.fullmatch(self.name):
            raise ValueError(f"worker name {self.name!r}; allowed: up to 40 of a-z, 0-9 and -, a letter first")
        given: object = self.topics  # a text would be a tuple of letters
        if not self.topics or isinstance(given, str):
            raise ValueError(f"worker {self.name}: topics is {self.topics!r}; it must be a tuple with one name or more")
        if (self.handle is None) == (self.handle_many is None):
            raise ValueError(f"worker {self.name}: either handle or handle_many must be given")
        if self.batch < 1:
            raise ValueError(f"worker {self.name}: batch is {self.batch}; allowed is 1 or more")
