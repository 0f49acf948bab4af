"""How the command line shows what was found: tables for people. Decides nothing."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from relay.configuration import capacity
from relay.printable import counted
from relay.watching.disk import Disk
from relay.watching.findings import Finding, Level
from relay.watching.status import RelayStatus, Status

if TYPE_CHECKING:
    from relay.publishing.topics import TopicState

STYLES = {Level.OK: "green", Level.WARNING: "yellow", Level.PROBLEM: "red", Level.UNREACHABLE: "red"}


def status(found: Status) -> None:
    """Show how far the relays are."""
    console = _console()
    more = " or more" if found.pending_capped else ""
    oldest = f", the oldest for {found.oldest_pending_seconds:,.1f} s" if found.oldest_pending_seconds else ""
    about = f", about {found.pending_estimate:,}" if found.pending_capped else ""
    console.print(f"pending: {found.pending:,}{more}{about}{oldest}")
    if found.paused:
        console.print(f"paused:  {found.paused:,} at least; see relay log, relay resume")
    for state, count in found.held.items():
        console.print(f"held, {state}: {count:,}{' or more' if found.held_capped else ''}")
    if found.blocked.keys:
        console.print(
            f"blocked: {counted(found.blocked.keys, 'key')}, the first for {found.blocked.oldest_seconds:,.0f} s"
        )
    console.print(f"disk:    {_disk(found.disk)}")
    console.print(f"relays:  {len(found.relays) or 'none is running'}")
    for relay in found.relays:
        console.print(f"  {escape(relay.name)}: {counted(len(relay.shards), 'shard')}, {_health(relay)}")
    table = Table("shard", "relay", "pending", "last checkpoint (UTC)")
    for shard in found.shards:
        pending = f"{shard.pending:,}{'+' if shard.pending_capped else ''}"
        table.add_row(str(shard.shard), escape(shard.relay or "-"), pending, f"{shard.checkpoint_at:%Y-%m-%d %H:%M:%S}")
    console.print(table)


def topics(states: "Sequence[TopicState]", made: Iterable[str], *, strict: bool) -> None:
    """Show what is routed where and what of it exists."""
    console = _console()
    for name in made:
        console.print(f"created {name}")
    if states:
        table = Table("logical topic", "topic in Kafka", "exists", "partitions", "replication", "not as configured")
        for state in states:
            table.add_row(
                state.logical,
                state.name,
                "yes" if state.exists else "no",
                _number(state.partitions, state.configured_partitions),
                _number(state.replication, state.configured_replication),
                "; ".join(state.differences),
            )
        console.print(table)
    console.print(
        "any other topic is refused (strict_topics)" if strict else "any other topic goes to Kafka under its own name"
    )


def finding(found: Finding) -> None:
    """Show one check of the doctor."""
    style = STYLES[found.level]
    console = _console()
    console.print(
        f"[{style}]{found.level:<11}[/] [bold]{escape(found.check)}[/]: {escape(found.found)}", soft_wrap=True
    )
    if found.mend:
        console.print(f"{'':11} mend: {escape(found.mend)}", soft_wrap=True)


def _health(relay: RelayStatus) -> str:
    if relay.silent_seconds is None:
        return "not to be seen by this role whether it is well (needs pg_read_all_stats)"
    heard = f"heard of {relay.silent_seconds:.1f} s ago"
    return f"healthy, {heard}" if relay.healthy else f"[red]not healthy[/], {heard}: it hangs, or its machine does"


def _disk(disk: Disk) -> str:
    taken = f"{capacity.text(disk.bytes)} taken, {capacity.text(disk.backlog_bytes)} of it pending"
    if disk.growth_bytes_per_hour > 0:
        taken += f" and growing by {capacity.text(disk.growth_bytes_per_hour)} an hour"
    if disk.budget_bytes is None:
        return f"{taken}; set disk_budget to see when it is full"
    budget = f"{taken}; {capacity.text(disk.budget_bytes)} allowed"
    return budget if disk.full_in_hours is None else f"{budget}: [red]full in {disk.full_in_hours:,.1f} hours[/]"


def _number(actual: int | None, configured: int | None) -> str:
    if actual is not None:
        return str(actual)
    return "" if configured is None else f"({configured} when created)"


def _console() -> Console:
    """Make a console for standard output; into a pipe nothing is cut off or coloured."""
    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=200)
