"""How the command line tells what pruning did, a line for each thing. Decides nothing."""

from collections.abc import Iterator

import typer

from relay import duration
from relay.prune import Fate, Pruned, SlotReport


def show_pruned(done: Pruned) -> None:
    """Print what was done, or would be."""
    for line in lines(done):
        typer.echo(line)


def lines(done: Pruned) -> Iterator[str]:
    """Say what was done, or would be, and of each slot that was left alone why."""
    if done.dry_run:
        yield "nothing was changed; this is what would be done:"
    for slot in sorted(done.slots, key=lambda report: report.slot):
        yield f"slot {slot.slot}: {_fate(slot, done)}"
    if done.rotated:
        yield f"new messages go to slot {done.today} from now on"
    else:
        yield f"new messages go to slot {done.today} as before{_why_not(done)}"
    snapshots = f", {done.deleted.snapshots:,} snapshots" if done.deleted.snapshots is not None else ""
    yield f"deleted {done.deleted.checkpoints:,} checkpoints{snapshots}, {done.deleted.held:,} settled held messages"


def _fate(slot: SlotReport, done: Pruned) -> str:
    size = f"{slot.bytes / 1e6:,.1f} MB"
    more = " or more" if slot.unsent_capped else ""
    return {
        Fate.TODAY: f"new messages go to it, {size}",
        Fate.EMPTY: "empty",
        Fate.EMPTIED: f"emptied, {size} given back",
        Fate.KEPT: f"kept, {size}: not all in it was sent {duration.text(done.retention_seconds)} ago or earlier",
        Fate.UNSENT: f"kept, {size}: {slot.unsent:,}{more} messages in it are unsent",
        Fate.BUSY: f"not emptied, {size}: in use by {'; '.join(slot.holders) or 'somebody who is gone by now'}",
    }[slot.fate]


def _why_not(done: Pruned) -> str:
    return ": the next slot is not empty yet" if done.rotation_waits else ""
