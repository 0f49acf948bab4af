"""Whether a relay does what it is there for, and if not, why not, in words. Hears events; decides; does no I/O.

Guarantees: a relay that publishes nothing though there may be something to publish is never called ready. It is ready
again only when something went well, not when a fault was last heard of long ago: after an interruption it must have
taken its shards, which writes to the database; after a Kafka that took nothing, Kafka must have taken something.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from relay import events

SETTLED_SECONDS = 5.0
"""So long after it has joined, a relay without a shard has had its chance to take a free one."""

SILENT_BROKER_SECONDS = 120.0
"""For how long it counts that Kafka took nothing: a page is sent again within seconds, and told again within a minute,
unless somebody else has it now."""


@dataclass(slots=True)
class Condition:
    """What is known of one relay.

    Args:
        clock: seconds that only go forward.
    """

    clock: Callable[[], float]
    held: frozenset[int] = frozenset()
    """The shards that it leases."""
    _missing: str | None = "it has not joined the others yet"
    """Why it has no sessions."""
    _proved: bool = True
    """Whether it has done something since it was interrupted."""
    _joined: float = 0.0
    _trouble: dict[type, str] = field(default_factory=dict)
    """What keeps it from publishing, by the event that told of it."""
    _broker_at: float = 0.0

    def hear(self, event: events.Event) -> None:
        """Take note of what happens."""
        match event:
            case events.NotThereYet(reason=reason):
                self._missing = f"it waits to start: {reason}"
            case events.Started():
                self._missing, self._joined = None, self.clock()
            case events.Interrupted(reason=reason):
                self._missing, self._proved, self.held = (
                    f"it was interrupted and begins anew: {reason}",
                    False,
                    frozenset(),
                )
                self._trouble.clear()
            case events.LeasesChanged(held=held):
                self.held, self._proved = held, True
            case events.Published() | events.HeldPublished() | events.BrokerBack():
                self._trouble.pop(events.BrokerSilent, None)
            case events.BrokerSilent(failure=failure):
                self._trouble[events.BrokerSilent] = f"kafka takes nothing, {failure.code}: {failure.text}"
                self._broker_at = self.clock()
            case _:
                self._hear_of_pauses(event)

    def _hear_of_pauses(self, event: events.Event) -> None:
        match event:
            case events.ReadingPaused(topics=topics, limit=limit):
                self._trouble[events.ReadingPaused] = (
                    f"reading is paused, for more than held_limit = {limit} messages wait: {', '.join(sorted(topics))}"
                )
            case events.StandbysBehind(lack=lack):
                self._trouble[events.StandbysBehind] = f"publishing waits for standbys: {lack}"
            case events.LockedOut():
                self._trouble[events.LockedOut] = "outbox.message is locked against reading"
            case events.ReadingResumed():
                self._trouble.pop(events.ReadingPaused, None)
            case events.StandbysCaughtUp():
                self._trouble.pop(events.StandbysBehind, None)
            case events.LetInAgain():
                self._trouble.pop(events.LockedOut, None)

    def not_ready(self, free: int | None) -> list[str]:
        """Say why the relay is not ready; nothing when it is.

        Args:
            free: how many shards nobody leased when that was looked at last; None when it was not yet.
        """
        if self._missing is not None:
            return [self._missing]
        reasons = []
        if self.clock() - self._broker_at > SILENT_BROKER_SECONDS:
            self._trouble.pop(events.BrokerSilent, None)
        if not self.held and (lack := self._without_shards(free)):
            reasons.append(lack)
        return reasons + list(self._trouble.values())

    def _without_shards(self, free: int | None) -> str | None:
        if not self._proved and free is None:
            return "it holds no shard since it was interrupted"
        if free is None:
            return "it holds no shard, and it is not known yet whether others hold all of them"
        settled = self.clock() - self._joined > SETTLED_SECONDS
        if free and (settled or not self._proved):
            return f"it holds no shard, while {free} are held by nobody"
        return None
