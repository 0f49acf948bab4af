"""Turns what the relay tells into log lines: each says what happened and what it means for whoever runs the relay."""

import logging
from functools import singledispatch

from relay import events

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
def _(event: events.Stopped) -> None:
    log.info(
        "stopped: progress is recorded, leases are given up, %d messages published since the start", event.published
    )
