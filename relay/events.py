"""What the relay tells of its work: plain facts, for whoever listens. The loop speaks; telemetry finds the words."""

from collections.abc import Callable
from dataclasses import dataclass

from relay.blame import Fault


@dataclass(frozen=True, slots=True)
class Started:
    """The relay is connected and has joined the others."""

    relay: str
    database: str
    shards: int


@dataclass(frozen=True, slots=True)
class LeasesChanged:
    """Shards were taken or given up."""

    taken: frozenset[int]
    given_up: frozenset[int]
    held: frozenset[int]


@dataclass(frozen=True, slots=True)
class Published:
    """A page was acknowledged by Kafka."""

    messages: int


@dataclass(frozen=True, slots=True)
class Checkpointed:
    """Progress was recorded."""

    shards: int
    messages: int


@dataclass(frozen=True, slots=True)
class BrokerSilent:
    """Kafka did not take a page, which will be sent again; nothing is lost meanwhile, the backlog waits."""

    reason: str
    messages: int
    attempt: int


@dataclass(frozen=True, slots=True)
class ShardStopped:
    """Kafka refused a message; its shard waits with everything behind it, in order, and tries again."""

    shard: int
    seq: int
    id: str
    topic: str
    fault: Fault
    reason: str
    retry_seconds: float


@dataclass(frozen=True, slots=True)
class ShardResumed:
    """The message that had stopped a shard was published."""

    shard: int


@dataclass(frozen=True, slots=True)
class Interrupted:
    """The relay lost its session or its leases: it dropped what was queued and begins anew."""

    reason: str
    retry_seconds: float


@dataclass(frozen=True, slots=True)
class NotThereYet:
    """At the start, a server that is waited for does not answer."""

    reason: str
    left_seconds: float


@dataclass(frozen=True, slots=True)
class HungRelayEnded:
    """Another relay was silent for too long: its sessions were ended here, and with them its leases, if it had any."""

    name: str
    silent_seconds: float
    sessions: int
    leases: bool


@dataclass(frozen=True, slots=True)
class HungBeyondReach:
    """Another relay hangs and keeps its shards, for this one's role may not end its sessions."""

    name: str
    silent_seconds: float
    reason: str


@dataclass(frozen=True, slots=True)
class NamesakeFound:
    """Another live relay goes by the same name."""

    name: str


@dataclass(frozen=True, slots=True)
class StoodStill:
    """The whole process did not run for a while: it was stopped or swapped out, or its machine was."""

    seconds: float


@dataclass(frozen=True, slots=True)
class LoopStuck:
    """The loop has not come round for a while."""

    seconds: float
    place: str
    """Where in the code it stands."""
    on_database: bool
    """Whether it waits for PostgreSQL there."""


@dataclass(frozen=True, slots=True)
class LoopGoesOn:
    """The loop that was told to be stuck goes on."""

    seconds: float


@dataclass(frozen=True, slots=True)
class LoopGivenUp:
    """The loop has been stuck for so long that the process ends itself."""

    seconds: float
    place: str


@dataclass(frozen=True, slots=True)
class Stopped:
    """The relay recorded its progress and gave up its leases."""

    published: int


Event = (
    Started
    | LeasesChanged
    | Published
    | Checkpointed
    | BrokerSilent
    | ShardStopped
    | ShardResumed
    | Interrupted
    | NotThereYet
    | HungRelayEnded
    | HungBeyondReach
    | NamesakeFound
    | StoodStill
    | LoopStuck
    | LoopGoesOn
    | LoopGivenUp
    | Stopped
)

Tell = Callable[[Event], None]
