"""What an event is in a log: a line that says what happened and what it means for whoever runs the relay. Pure.

Each line has a sentence for people, and for programs the event's name with the same facts as fields. Events of the hot
path have no line: nothing is made or formatted for a message that goes its way.
"""

import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import singledispatch
from typing import Any

from relay import events
from relay.hold import Hold, Scope
from relay.printable import counted

INFO, WARNING, ERROR = logging.INFO, logging.WARNING, logging.ERROR


@dataclass(frozen=True, slots=True)
class Line:
    """One line: how grave, the sentence, and the facts in it by name."""

    level: int
    text: str
    facts: Mapping[str, Any] = field(default_factory=dict)


def name_of(event: events.Event) -> str:
    """The name that an event has in logs: `TopicAway` is `topic_away`."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", type(event).__name__).lower()


@singledispatch
def line_of(event: events.Event) -> Line | None:
    """Say an event in a line; None for what happens all the time."""
    assert isinstance(event, HOT), event
    return None


HOT = (events.Published, events.HeldPublished, events.MessagesHeld, events.Checkpointed)
"""What happens all the time, and is told by metrics."""


def _of(hold: Hold) -> dict[str, Any]:
    """The facts about a message that failed, or that found its topic away."""
    shard, seq, id_, topic, key, *_ = hold.row
    failure = hold.failure
    assert failure is not None
    return {
        "id": id_,
        "topic": topic,
        "key": key,
        "shard": shard,
        "seq": seq,
        "fault": failure.fault.value,
        "code": failure.code,
        "error": failure.text,
        "attempts": hold.attempts,
    }


@line_of.register
def _(event: events.Started) -> Line:
    return Line(
        INFO,
        f"relay {event.relay} has joined at {event.database}, {event.shards} shards in all",
        {"database": event.database, "shards": event.shards},
    )


@line_of.register
def _(event: events.LeasesChanged) -> Line:
    held, taken, given_up = len(event.held), len(event.taken), len(event.given_up)
    return Line(
        INFO,
        f"leases: {counted(held, 'shard')} held now ({taken} taken, {given_up} given up)",
        {"held": sorted(event.held), "taken": sorted(event.taken), "given_up": sorted(event.given_up)},
    )


@line_of.register
def _(event: events.BrokerSilent) -> Line:
    failure = event.failure
    return Line(
        WARNING,
        f"kafka took not all of {counted(event.messages, 'message')} ({failure.code}: {failure.text}): the backlog "
        f"waits, attempt {event.attempt + 1} follows",
        {"messages": event.messages, "attempt": event.attempt, "code": failure.code, "error": failure.text},
    )


@line_of.register
def _(event: events.BrokerBack) -> Line:
    text = f"kafka answers again, at attempt {event.attempts + 1}: the backlog is published in order"
    return Line(INFO, text, {"attempts": event.attempts})


BEHIND = {
    Scope.NONE: "nothing waits behind it",
    Scope.KEY: "later messages of its topic and key wait behind it, in order",
    Scope.TOPIC: "all later messages of its topic wait behind it, in order",
}


@line_of.register
def _(event: events.MessageFailed) -> Line:
    hold, facts = event.hold, _of(event.hold)
    refused = (
        f"message {facts['id']} (seq {facts['seq']}, topic {facts['topic']}) was refused, {facts['code']}: "
        f"{facts['error']}"
    )
    if hold.seconds is None:
        return Line(
            ERROR,
            f"{refused}; dead after attempt {hold.attempts}, {BEHIND[hold.scope]} until you answer: relay replay or "
            "relay discard",
            facts | {"behind": hold.scope.value, "dead": True},
        )
    return Line(
        WARNING,
        f"{refused}; attempt {hold.attempts}, next in {hold.seconds:.0f} s, {BEHIND[hold.scope]}",
        facts | {"behind": hold.scope.value, "dead": False, "next_seconds": round(hold.seconds, 1)},
    )


@line_of.register
def _(event: events.TopicAway) -> Line:
    facts = _of(event.hold)
    return Line(
        WARNING,
        f"topic {facts['topic']} cannot be written to, {facts['code']}: {facts['error']}; its messages wait in order "
        "and count no attempt, it is tried again every few seconds, other topics go on",
        {name: facts[name] for name in ("topic", "shard", "seq", "fault", "code", "error")},
    )


@line_of.register
def _(event: events.TopicBack) -> Line:
    text = f"topic {event.topic} is not away any more: what waited for it is published in order"
    return Line(INFO, text, {"topic": event.topic})


@line_of.register
def _(event: events.TopicPaused) -> Line:
    text = f"topic {event.topic} is paused: its messages wait in outbox.message, others go on (who and why: relay log)"
    return Line(WARNING, text, {"topic": event.topic})


@line_of.register
def _(event: events.TopicResumed) -> Line:
    text = f"topic {event.topic} is resumed: what waited is published in order"
    return Line(INFO, text, {"topic": event.topic})


@line_of.register
def _(event: events.ReadingPaused) -> Line:
    waiting = ", ".join(f"{topic} {count}" for topic, count in sorted(event.topics.items()))
    return Line(
        ERROR,
        f"reading is paused, also for other topics: held_limit is {event.limit}, and so much waits: {waiting}; it goes "
        "on once its topic takes messages again, or you discard some (relay failed)",
        {"limit": event.limit, "topics": dict(event.topics)},
    )


@line_of.register
def _(_: events.ReadingResumed) -> Line:
    return Line(INFO, "reading goes on: few enough held messages wait again")


@line_of.register
def _(event: events.StandbysBehind) -> Line:
    return Line(
        WARNING,
        f"publishing waits for standbys, for {event.waited_seconds:.0f} s now: {event.lack} (durability = replicated); "
        "nothing is lost, the backlog waits: connect a standby, or set durability = local",
        {"lack": event.lack, "seconds": round(event.waited_seconds, 1)},
    )


@line_of.register
def _(event: events.StandbysCaughtUp) -> Line:
    return Line(
        INFO,
        f"publishing goes on: the standbys have caught up after {event.waited_seconds:.0f} s",
        {"seconds": round(event.waited_seconds, 1)},
    )


@line_of.register
def _(event: events.Interrupted) -> Line:
    return Line(
        WARNING,
        f"interrupted: {event.reason}; nothing is lost, progress is read anew from the database in "
        f"{event.retry_seconds:.1f} s",
        {"reason": event.reason, "retry_seconds": event.retry_seconds},
    )


@line_of.register
def _(event: events.NotThereYet) -> Line:
    text = f"waiting to start, for {event.left_seconds:.0f} s more: {event.reason}"
    return Line(WARNING, text, {"reason": event.reason, "left_seconds": round(event.left_seconds, 1)})


@line_of.register
def _(event: events.SlotEmptied) -> Line:
    return Line(
        INFO,
        f"slot {event.slot} is empty: all in it was sent long enough ago, {event.bytes} bytes are given back",
        {"slot": event.slot, "bytes": event.bytes},
    )


@line_of.register
def _(event: events.SlotBusy) -> Line:
    holders = "; ".join(event.holders) or "by somebody who is gone by now"
    return Line(
        WARNING,
        f"slot {event.slot} is in use and was not emptied ({holders}): its disk space is given back at a later try",
        {"slot": event.slot, "holders": list(event.holders)},
    )


@line_of.register
def _(event: events.Rotated) -> Line:
    return Line(INFO, f"new messages go to slot {event.slot} from now on", {"slot": event.slot})


@line_of.register
def _(event: events.ChoreFailed) -> Line:
    return Line(
        WARNING,
        f"{event.chore}: {event.reason}; {event.consequence}",
        {"chore": event.chore, "reason": event.reason},
    )


@line_of.register
def _(event: events.HungRelayEnded) -> Line:
    shared = ", and its shards are shared out among the others" if event.leases else ""
    return Line(
        WARNING,
        f"relay {event.name} has been silent for {event.silent_seconds:.0f} s, so it hangs: its {event.sessions} "
        f"sessions were ended here{shared}; look at its process and its machine; when it goes on, it begins anew by "
        "itself",
        {"other": event.name, "seconds": round(event.silent_seconds, 1), "sessions": event.sessions},
    )


@line_of.register
def _(event: events.HungBeyondReach) -> Line:
    return Line(
        ERROR,
        f"relay {event.name} has been silent for {event.silent_seconds:.0f} s, so it hangs, and keeps its shards, "
        f"whose backlog waits, for this one may not end its sessions ({event.reason}): kill its process, and let all "
        "relays use one role",
        {"other": event.name, "seconds": round(event.silent_seconds, 1), "reason": event.reason},
    )


@line_of.register
def _(event: events.NamesakeFound) -> Line:
    return Line(
        WARNING,
        f"another live relay is called {event.name} too: both work, but neither logs nor relay status tell one from "
        "the other; give each a RELAY_NAME of its own",
        {"other": event.name},
    )


@line_of.register
def _(_: events.LockedOut) -> Line:
    return Line(
        WARNING,
        "outbox.message, or a slot of it, is locked against reading: the backlog waits until that ends; pg_locks says "
        "who has it",
    )


@line_of.register
def _(_: events.LetInAgain) -> Line:
    return Line(INFO, "outbox.message is read again: nobody locks it against reading any more")


@line_of.register
def _(event: events.StoodStill) -> Line:
    return Line(
        WARNING,
        f"this process did not run for {event.seconds:.0f} s (stopped or swapped out, or its machine was): other "
        "relays may have its shards by now; if they do, it begins anew",
        {"seconds": round(event.seconds, 1)},
    )


@line_of.register
def _(event: events.LoopStuck) -> Line:
    meaning = (
        "it waits for PostgreSQL, look there"
        if event.on_database
        else "other relays take its shards when it stays so, and the process ends itself, to be started anew"
    )
    return Line(
        ERROR,
        f"the loop has not come round for {event.seconds:.0f} s, it stands in {event.place}: nothing is published "
        f"here; {meaning}",
        {"seconds": round(event.seconds, 1), "place": event.place, "on_database": event.on_database},
    )


@line_of.register
def _(event: events.LoopGoesOn) -> Line:
    return Line(WARNING, f"the loop goes on after {event.seconds:.0f} s", {"seconds": round(event.seconds, 1)})


@line_of.register
def _(event: events.LoopGivenUp) -> Line:
    return Line(
        ERROR,
        f"the loop has not come round for {event.seconds:.0f} s, it stands in {event.place}: ended without recording "
        "the last progress, which is published once more; whoever supervises this process starts it anew",
        {"seconds": round(event.seconds, 1), "place": event.place},
    )


@line_of.register
def _(event: events.EndedWithoutAnswer) -> Line:
    return Line(
        ERROR,
        f"told to stop {event.seconds:.0f} s ago, and a server still does not answer: ended without recording the last "
        "progress",
        {"seconds": event.seconds},
    )


@line_of.register
def _(event: events.PortOpened) -> Line:
    return Line(
        INFO,
        f"watch it at {event.url}/metrics, /readyz and /livez",
        {"url": event.url},
    )


@line_of.register
def _(event: events.Stopped) -> Line:
    return Line(
        INFO,
        f"stopped: progress is recorded, leases are given up, {counted(event.published, 'message')} published since "
        "the start",
        {"published": event.published},
    )
