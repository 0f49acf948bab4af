"""Turns what the relay tells into log lines: each says what happened and what it means for whoever runs the relay."""

import logging
from functools import singledispatch

from relay import events
from relay.hold import Scope

log = logging.getLogger("relay")


def configure() -> None:
    """Send log lines to standard error, a line each, with time and level."""
    logging.basicConfig(format="%(asctime)s %(levelname)-7s %(message)s", level=logging.INFO)
    # It tells of each run of each job; what a chore did is told by an event.
    logging.getLogger("apscheduler").setLevel(logging.WARNING)


@singledispatch
def tell(event: events.Event) -> None:
    """Log an event; those of the hot path only where somebody asked for debugging."""
    log.debug("%s", event)


@tell.register
def _(event: events.Started) -> None:
    log.info("relay %s has joined at %s, %d shards in all", event.relay, event.database, event.shards)


@tell.register
def _(event: events.LeasesChanged) -> None:
    log.info(
        "leases: %d shards held now (%d taken, %d given up)",
        len(event.held),
        len(event.taken),
        len(event.given_up),
    )


@tell.register
def _(event: events.BrokerSilent) -> None:
    log.warning(
        "kafka took not all of %d messages (%s): the backlog waits, attempt %d follows",
        event.messages,
        event.reason,
        event.attempt + 1,
    )


BEHIND = {
    Scope.NONE: "nothing waits behind it",
    Scope.KEY: "later messages of its topic and key wait behind it, in order",
    Scope.TOPIC: "all later messages of its topic wait behind it, in order",
}


@tell.register
def _(event: events.MessageFailed) -> None:
    hold, failure = event.hold, event.hold.failure
    assert failure is not None
    _, seq, id_, topic, *_ = hold.row
    who = (id_, seq, topic, failure.code, failure.text, hold.attempts)
    if hold.seconds is None:
        log.error(
            "message %s (seq %d, topic %s) was refused, %s: %s; dead after attempt %d, %s until you answer: "
            "relay replay or relay discard",
            *(*who, BEHIND[hold.scope]),
        )
    else:
        log.warning(
            "message %s (seq %d, topic %s) was refused, %s: %s; attempt %d, next in %.0f s, %s",
            *(*who, hold.seconds, BEHIND[hold.scope]),
        )


@tell.register
def _(event: events.TopicAway) -> None:
    hold, failure = event.hold, event.hold.failure
    assert failure is not None
    log.warning(
        "topic %s cannot be written to, %s: %s; its messages wait in order and count no attempt, it is tried again "
        "every few seconds, other topics go on",
        *(hold.row[3], failure.code, failure.text),
    )


@tell.register
def _(event: events.TopicBack) -> None:
    log.info("topic %s is not away any more: what waited for it is published in order", event.topic)


@tell.register
def _(event: events.TopicPaused) -> None:
    log.warning(
        "topic %s is paused: its messages wait in outbox.message, others go on (who and why: relay log)",
        event.topic,
    )


@tell.register
def _(event: events.TopicResumed) -> None:
    log.info("topic %s is resumed: what waited is published in order", event.topic)


@tell.register
def _(event: events.ReadingPaused) -> None:
    log.error(
        "reading is paused, also for other topics: held_limit is %d, and so much waits: %s; it goes on once its topic "
        "takes messages again, or you discard some (relay failed)",
        event.limit,
        ", ".join(f"{topic} {count}" for topic, count in sorted(event.topics.items())),
    )


@tell.register
def _(_: events.ReadingResumed) -> None:
    log.info("reading goes on: few enough held messages wait again")


@tell.register
def _(event: events.StandbysBehind) -> None:
    log.warning(
        "publishing waits for standbys, for %.0f s now: %s (durability = replicated); nothing is lost, the backlog "
        "waits: connect a standby, or set durability = local",
        event.waited_seconds,
        event.lack,
    )


@tell.register
def _(event: events.StandbysCaughtUp) -> None:
    log.info("publishing goes on: the standbys have caught up after %.0f s", event.waited_seconds)


@tell.register
def _(event: events.Interrupted) -> None:
    log.warning(
        "interrupted: %s; nothing is lost, progress is read anew from the database in %.1f s",
        event.reason,
        event.retry_seconds,
    )


@tell.register
def _(event: events.NotThereYet) -> None:
    log.warning("waiting to start, for %.0f s more: %s", event.left_seconds, event.reason)


@tell.register
def _(event: events.SlotEmptied) -> None:
    log.info("slot %d is empty: all in it was sent long enough ago, %d bytes are given back", event.slot, event.bytes)


@tell.register
def _(event: events.SlotBusy) -> None:
    log.warning(
        "slot %d is in use and was not emptied (%s): its disk space is given back at a later try",
        event.slot,
        "; ".join(event.holders) or "by somebody who is gone by now",
    )


@tell.register
def _(event: events.Rotated) -> None:
    log.info("new messages go to slot %d from now on", event.slot)


@tell.register
def _(event: events.ChoreFailed) -> None:
    log.warning("%s: %s; %s", event.chore, event.reason, event.consequence)


@tell.register
def _(event: events.HungRelayEnded) -> None:
    log.warning(
        "relay %s has been silent for %.0f s, so it hangs: its %d sessions were ended here%s; look at its process "
        "and its machine; when it goes on, it begins anew by itself",
        event.name,
        event.silent_seconds,
        event.sessions,
        ", and its shards are shared out among the others" if event.leases else "",
    )


@tell.register
def _(event: events.HungBeyondReach) -> None:
    log.error(
        "relay %s has been silent for %.0f s, so it hangs, and keeps its shards, whose backlog waits, for this one may "
        "not end its sessions (%s): kill its process, and let all relays use one role",
        event.name,
        event.silent_seconds,
        event.reason,
    )


@tell.register
def _(event: events.NamesakeFound) -> None:
    log.warning(
        "another live relay is called %s too: both work, but neither logs nor relay status tell one from the other; "
        "give each a RELAY_NAME of its own",
        event.name,
    )


@tell.register
def _(_: events.LockedOut) -> None:
    log.warning(
        "outbox.message, or a slot of it, is locked against reading: the backlog waits until that ends; pg_locks says "
        "who has it"
    )


@tell.register
def _(event: events.StoodStill) -> None:
    log.warning(
        "this process did not run for %.0f s (stopped or swapped out, or its machine was): other relays may have its "
        "shards by now; if they do, it begins anew",
        event.seconds,
    )


@tell.register
def _(event: events.LoopStuck) -> None:
    log.error(
        "the loop has not come round for %.0f s, it stands in %s: nothing is published here; %s",
        event.seconds,
        event.place,
        "it waits for PostgreSQL, look there"
        if event.on_database
        else "other relays take its shards when it stays so, and the process ends itself, to be started anew",
    )


@tell.register
def _(event: events.LoopGoesOn) -> None:
    log.warning("the loop goes on after %.0f s", event.seconds)


@tell.register
def _(event: events.LoopGivenUp) -> None:
    log.error(
        "the loop has not come round for %.0f s, it stands in %s: ended without recording the last progress, which is "
        "published once more; whoever supervises this process starts it anew",
        event.seconds,
        event.place,
    )


@tell.register
def _(event: events.Stopped) -> None:
    log.info(
        "stopped: progress is recorded, leases are given up, %d messages published since the start", event.published
    )
