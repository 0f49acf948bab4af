"""Turns what the relay tells into log lines: each says what happened and what it means for whoever runs the relay."""

import logging
from functools import singledispatch

from relay import events

log = logging.getLogger("relay")


def configure() -> None:
    """Send log lines to standard error, a line each, with time and level."""
    logging.basicConfig(format="%(asctime)s %(levelname)-7s %(message)s", level=logging.INFO)


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


@tell.register
def _(event: events.ShardStopped) -> None:
    log.error(
        "shard %d is stopped by message %s (seq %d, topic %s), fault of the %s: %s; all behind it waits in order, "
        "next try in %.0f s",
        event.shard,
        event.id,
        event.seq,
        event.topic,
        event.fault.value,
        event.reason,
        event.retry_seconds,
    )


@tell.register
def _(event: events.ShardResumed) -> None:
    log.info("shard %d goes on: the message that had stopped it was published", event.shard)


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
