"""How the command line tells what pruning did, a line for each thing. Decides nothing."""

from collections.abc import Iterator

import typer

from relay.configuration import duration
from relay.retention.prune import Fate, Pruned, SlotReport


def show_pruned(done: Pruned) -> None:
    """Print what was done, or would be."""
    for line in lines(done):
        typer.echo(line)


def lines(done: Pruned) -> Iterator[str]:
    """Say what was done, or would be, and of each slot that was left alone why."""
    would = "would be " if done.dry_run else ""
    for slot in sorted(done.slots, key=lambda report: report.slot):
        yield f"slot {slot.slot}: {_fate(slot, done, would)}"
    if done.rotated:
        yield f"new messages {'would ' if done.dry_run else ''}go to slot {done.today} from now on"
    else:
        waits = ": the next one is not empty yet" if done.rotation_waits else ""
        yield f"new messages go to slot {done.today} as before{waits}"
    deleted = done.deleted
    yield f"{would}deleted: " + ", ".join(
        f"{count:,} {what}{'' if count == 1 else 's'}"
        for count, what in (
            (deleted.checkpoints, "checkpoint"),
            (deleted.snapshots, "snapshot"),
            (deleted.held, "settled held message"),
        )
        if count is not None
    )


def _fate(slot: SlotReport, done: Pruned, would: str) -> str:
    size = f"{slot.bytes / 1e6:,.1f} MB"
    more = " or more" if slot.unsent_capped else ""
    messages = "message is" if slot.unsent == 1 else "messages are"
    return {
        Fate.TODAY: f"new messages go to it, {size}",
        Fate.EMPTY: "empty",
        Fate.EMPTIED: f"{would}emptied, {size} {would}given back",
        Fate.KEPT: f"kept, {size}: not all in it was sent {duration.text(done.retention_seconds)} ago or earlier",
        Fate.UNSENT: f"kept, {size}: {slot.unsent:,}{more} {messages} unsent",
        Fate.BUSY: f"not emptied, {size}: in use by {'; '.join(slot.holders) or 'somebody who is gone by now'}",
    }[slot.fate]
