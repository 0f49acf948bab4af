"""What the relay tells of its work: plain facts, for whoever listens. The loop speaks; telemetry finds the words."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from relay.hold import Failure, Hold
from relay.message import Row


@dataclass(frozen=True, slots=True)
class Started:
    """The relay is connected and has joined the others."""

    relay: str
    database: str
    shards: int
    queued: Callable[[], int]
    """Says how many messages are with Kafka's client now, and not acknowledged yet. Any thread may ask."""


@dataclass(frozen=True, slots=True)
class LeasesChanged:
    """Shards were taken or given up."""

    taken: frozenset[int]
    given_up: frozenset[int]
    held: frozenset[int]


@dataclass(frozen=True, slots=True)
class Published:
    """Messages of a page were acknowledged by Kafka."""

    rows: Sequence[Sequence[Row]]
    """Themselves, and not what somebody may want to know of them: on the hot path nobody counts who is not asked."""

    @property
    def messages(self) -> int:
        """How many."""
        return sum(map(len, self.rows))


@dataclass(frozen=True, slots=True)
class Checkpointed:
    """Progress was recorded."""

    shards: int
    messages: int


@dataclass(frozen=True, slots=True)
class BrokerSilent:
    """Kafka did not take a page, which will be sent again; nothing is lost meanwhile, the backlog waits."""

    failure: Failure
    messages: int
    attempt: int


@dataclass(frozen=True, slots=True)
class BrokerBack:
    """Kafka has answered for all of a page, after as many attempts in a row that it did not."""

    attempts: int


@dataclass(frozen=True, slots=True)
class MessagesHeld:
    """Messages were set aside, or failed once more; nothing behind them that must keep its order goes before them."""

    holds: Sequence[Hold]


@dataclass(frozen=True, slots=True)
class HeldPublished:
    """Held messages were acknowledged by Kafka."""

    rows: Sequence[Row]


@dataclass(frozen=True, slots=True)
class MessageFailed:
    """Kafka refused a message as it is; it is tried again, or dead."""

    hold: Hold


@dataclass(frozen=True, slots=True)
class TopicAway:
    """A topic cannot be written to; its messages wait in order, and it is tried again every few seconds."""

    hold: Hold


@dataclass(frozen=True, slots=True)
class TopicBack:
    """A topic that was away takes messages again, or nothing is held of it any more; what waited follows in order."""

    topic: str


@dataclass(frozen=True, slots=True)
class TopicPaused:
    """An operator has paused a topic: from now on nothing of it is published here."""

    topic: str


@dataclass(frozen=True, slots=True)
class TopicResumed:
    """An operator has resumed a topic: what waited goes, in order."""

    topic: str


@dataclass(frozen=True, slots=True)
class ReadingPaused:
    """So many messages wait in order that nothing more is read until they are fewer."""

    topics: Mapping[str, int]
    """How many of each topic that has too many."""
    limit: int


@dataclass(frozen=True, slots=True)
class ReadingResumed:
    """Few enough messages wait again."""


@dataclass(frozen=True, slots=True)
class StandbysBehind:
    """A page waits until a failover could not undo it any more; so does all behind it."""

    lack: str
    """What is missing."""
    waited_seconds: float


@dataclass(frozen=True, slots=True)
class StandbysCaughtUp:
    """The standbys have what a page waited for."""

    waited_seconds: float


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
class SlotEmptied:
    """All messages of a slot were sent long enough ago, and its disk space was given back."""

    slot: int
    bytes: int


@dataclass(frozen=True, slots=True)
class SlotBusy:
    """A slot could not be emptied, because somebody uses it."""

    slot: int
    holders: Sequence[str]


@dataclass(frozen=True, slots=True)
class Rotated:
    """New messages go to another slot from now on."""

    slot: int


@dataclass(frozen=True, slots=True)
class ChoreFailed:
    """Something that is done beside the relaying was not done this time."""

    chore: str
    reason: str
    consequence: str


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
class LockedOut:
    """Somebody has locked the table of messages, or a part of it, against reading."""


@dataclass(frozen=True, slots=True)
class LetInAgain:
    """What was locked against reading is read again."""


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
class EndedWithoutAnswer:
    """The process was told to stop, and ends though a server did not answer."""

    seconds: float
    """Since it was told."""


@dataclass(frozen=True, slots=True)
class PortOpened:
    """The relay can be watched over HTTP from now on."""

    url: str


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
    | BrokerBack
    | MessagesHeld
    | HeldPublished
    | MessageFailed
    | TopicAway
    | TopicBack
    | TopicPaused
    | TopicResumed
    | ReadingPaused
    | ReadingResumed
    | StandbysBehind
    | StandbysCaughtUp
    | Interrupted
    | NotThereYet
    | SlotEmptied
    | SlotBusy
    | Rotated
    | ChoreFailed
    | HungRelayEnded
    | HungBeyondReach
    | NamesakeFound
    | LockedOut
    | LetInAgain
    | StoodStill
    | LoopStuck
    | LoopGoesOn
    | LoopGivenUp
    | EndedWithoutAnswer
    | PortOpened
    | Stopped
)

Tell = Callable[[Event], None]


def all_hear(*listeners: Tell) -> Tell:
    """Return what tells each event to all of some listeners, in this order."""

    def tell(event: Event) -> None:
        for listener in listeners:
            listener(event)

    return tell
