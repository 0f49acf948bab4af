"""The catalogue of what can be measured, in the order in which it is.

A part is measured by a module of this package, which is imported only when the part is chosen: the catalogue can be
read where the packages that measuring needs are missing.
"""

import importlib
from dataclasses import dataclass

from relay.bench.part import Part
from relay.errors import UserMistake


@dataclass(frozen=True, slots=True)
class Entry:
    """What the catalogue says of a part; the arguments are those of `Part`, and the module that measures it."""

    name: str
    about: str
    seconds: float
    module: str


CATALOGUE = (
    Entry("drain", "how fast a backlog drains, against the best loop that records nothing", 75, "drain"),
    Entry("relays", "several relays at once, and what the CloudEvents headers cost", 65, "relays"),
    Entry("latency", "from just before COMMIT to the consumer, at 200 and at 2,000 messages a second", 70, "latency"),
    Entry("commits", "what the applications' commits lose by the doorbell", 85, "commits"),
    Entry("history", "drains beside an open transaction, behind much history, of one late commit", 80, "history"),
    Entry("wal", "bytes of write-ahead log for each message beyond its insert", 45, "wal"),
    Entry("idle", "processor time and statements of an idle relay", 15, "idle"),
    Entry("start", "from start to the first message, and from SIGTERM to the end", 25, "start"),
    Entry("status", "how long `relay status` takes before a deep backlog", 20, "asking"),
    Entry("growth", "drains of deeper backlogs, and of larger payloads", 95, "growth"),
    Entry("enqueue", "what enqueuing costs the application, against bare INSERTs", 15, "enqueue"),
    # The last, for Kafka is busy for a while when its thousand topics are deleted.
    Entry("memory", "the most memory of a draining relay", 45, "memory"),
)


def chosen(names: tuple[str, ...]) -> tuple[Part, ...]:
    """Return the parts of some names, in the catalogue's order; all of them for no name at all.

    Raises:
        UserMistake: a name is not one of a part, or a package that a part needs is not installed.
    """
    known = [entry.name for entry in CATALOGUE]
    unknown = sorted({name for name in names if name not in known})
    if unknown:
        raise UserMistake(f"{', '.join(map(repr, unknown))} is no part of the benchmark; there are {', '.join(known)}")
    return tuple(_loaded(entry) for entry in CATALOGUE if not names or entry.name in names)


def _loaded(entry: Entry) -> Part:
    try:
        module = importlib.import_module(f"relay.bench.{entry.module}")
    except ModuleNotFoundError as missing:
        if missing.name != "psutil":  # what else is missing is no choice of the user's
            raise
        raise not_installed(f"the part {entry.name}", "psutil") from None
    return Part(entry.name, entry.about, entry.seconds, module.measure)


def not_installed(what: str, package: str) -> UserMistake:
    """Say how to get a package of the extra `bench`."""
    return UserMistake(f"{what} needs {package}, which is not installed: pip install 'outbox-relay[bench]'")
