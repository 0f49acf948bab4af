"""What the doctor's checks mean: how bad each is, in what words, and how to mend it. Pure: judges what was read."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from relay.reading import origin
from relay.restoring.rebase_plan import Marks

if TYPE_CHECKING:
    from relay.publishing.topics import TopicState

CLOCK_SECONDS = 1.0
"""How far this machine's clock may be from the database's before times in logs and messages mislead."""

FEW_REPLICAS = 2

MEND_FORGERS = (
    "a row with a false xid or a low seq is never published, silently; revoke insert, update on outbox.message from "
    "them, then grant insert (id, topic, key, type, payload, content_type, headers, deliver_after, created_at)"
)


class Level(StrEnum):
    """How a check came out."""

    OK = "ok"
    WARNING = "warning"
    """The relay works; something may surprise."""
    PROBLEM = "problem"
    """Somebody must mend this: exit code 2."""
    UNREACHABLE = "unreachable"
    """A server does not answer, so that its checks could not be made: exit code 1."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found, and what to do about it; `mend` is empty when there is nothing to do."""

    check: str
    level: Level
    found: str
    mend: str = ""

    def as_json(self) -> dict[str, Any]:
        """Return the same as JSON values."""
        return asdict(self)


def exit_code(findings: Sequence[Finding]) -> int:
    """Return 2 where somebody must mend something, else 1 where a server did not answer, else 0."""
    levels = {finding.level for finding in findings}
    return 2 if Level.PROBLEM in levels else int(Level.UNREACHABLE in levels)


def clock(ahead: float) -> Finding:
    """Judge how many seconds this machine's clock is ahead of the database's."""
    found = f"this machine is {abs(ahead):.3f} s {'ahead of' if ahead > 0 else 'behind'} the database"
    if abs(ahead) <= CLOCK_SECONDS:
        return Finding("clock", Level.OK, found)
    return Finding(
        "clock",
        Level.WARNING,
        found,
        "times in logs and in Kafka will not match those of the database; run NTP on both",
    )


def forgers(names: Sequence[str]) -> Finding:
    """Judge which roles could write `xid`, `seq`, `slot` or `shard` of a message."""
    if not names:
        return Finding("writers", Level.OK, "nobody but owner and superusers can write xid, seq, slot or shard")
    return Finding("writers", Level.WARNING, f"could write xid, seq, slot or shard: {', '.join(names)}", MEND_FORGERS)


def prepared(allowed: int, rings: bool) -> Finding:
    """Judge whether two-phase commits may be in use: a transaction that has rung the doorbell cannot be prepared."""
    found = f"max_prepared_transactions is {allowed}"
    if not (allowed and rings):
        return Finding("two-phase commit", Level.OK, found)
    return Finding(
        "two-phase commit",
        Level.WARNING,
        found,
        "transactions that enqueue and will be prepared must say: set local outbox.doorbell = off",
    )


def pruning(role: str, missing: Sequence[str]) -> Finding:
    """Judge what a role lacks of what pruning needs; a relay publishes without it."""
    if not missing:
        return Finding("retention", Level.OK, f"role {role} may empty slots and delete old checkpoints")
    return Finding(
        "retention",
        Level.WARNING,
        f"role {role} lacks: {', '.join(missing)}; what was sent stays on disk",
        f"grant them to {role}, or run relay prune regularly as a role that has them",
    )


def replication(durability: str, may_see: bool, names: str, standbys: int) -> Finding:
    """Judge what a failover could undo.

    Args:
        durability: the setting.
        may_see: whether the role sees how far standbys are.
        names: `synchronous_standby_names`.
        standbys: how many stream.
    """
    found = f"standbys that stream: {standbys}; durability is {durability}"
    if durability == "replicated" and not may_see:
        mend = "the relay must see how far standbys are: grant pg_read_all_stats to its role"
        return Finding("replication", Level.PROBLEM, found, mend)
    if durability == "replicated" and not standbys:
        mend = "nothing is published until one does: connect a standby, or set durability = local"
        return Finding("replication", Level.PROBLEM, found, mend)
    if durability == "local" and standbys and not names:
        mend = "a failover can undo what was published already; where that matters, set durability = replicated"
        return Finding("replication", Level.WARNING, f"{found}; no standby is synchronous", mend)
    return Finding("replication", Level.OK, found)


def positions(marks: Marks) -> Iterator[Finding]:
    """Judge whether the recorded positions belong to this cluster and its sequence."""
    if marks.foreign:
        yield Finding("cluster", Level.PROBLEM, origin.foreign_cluster(marks.recorded, marks.here), origin.MEND)
    elif marks.missing:
        yield Finding("cluster", Level.PROBLEM, origin.no_position(marks.missing), origin.MEND)
    else:
        yield Finding("cluster", Level.OK, f"positions were recorded in this cluster ({marks.here})")
    if marks.sequence_is_back:
        yield Finding("sequence", Level.PROBLEM, origin.sequence_went_back(marks.number, marks.drawn), origin.MEND)
    else:
        found = f"outbox.message_seq stands at {marks.number}, not below the positions' {marks.drawn}"
        yield Finding("sequence", Level.OK, found)


def topic(state: "TopicState") -> Finding:
    """Judge one listed topic."""
    check = f"topic {state.logical}"
    if not state.exists:
        return Finding(check, Level.PROBLEM, f"{state.name} does not exist in Kafka", "make it: relay topics --create")
    size = state.config.get("max.message.bytes")
    found = f"{state.name}: partitions {state.partitions}, replication {state.replication}"
    found += f", messages up to {size} bytes" if size else ""
    if state.differences:
        mend = "change [topics] or the topic; the relay alters none (more partitions would move keys)"
        return Finding(check, Level.WARNING, f"{found}; {'; '.join(state.differences)}", mend)
    if state.replication is not None and state.replication < FEW_REPLICAS:
        mend = "what is published is lost with that one disk; use 3 replicas in production"
        return Finding(check, Level.WARNING, found, mend)
    if state.config.get("min.insync.replicas") == "1":
        mend = "a message may be acknowledged by one replica alone; set min.insync.replicas to 2"
        return Finding(check, Level.WARNING, f"{found}, min.insync.replicas 1", mend)
    return Finding(check, Level.OK, found)
