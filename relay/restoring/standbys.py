"""Whether the standbys that matter have flushed what is about to be published. Pure: judges what PostgreSQL says.

Which ones matter is PostgreSQL's own rule where `synchronous_standby_names` is set (its documentation, "Synchronous
Replication"). Where it is not, every standby that streams does: nobody can know which one will be promoted.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

RULE = re.compile(r"\s*(?:(?P<method>first|any)\b\s*)?(?P<number>\d+)\s*\(", re.IGNORECASE)
"""`FIRST 2 (a, b)`, `ANY 1 (*)` and `2 (a, b)`; a plain list of names is `FIRST 1`."""


@dataclass(frozen=True, slots=True)
class Standby:
    """A connected standby that streams."""

    name: str
    role: str
    """Its `sync_state`: "async", "potential", "sync" or "quorum"."""
    flushed: bool
    """Whether it has flushed what is asked about."""
    physical: bool
    """Whether it could be promoted; a subscriber of logical replication could not."""


def lacking(names: str, standbys: Sequence[Standby]) -> str | None:
    """Say what is still missing until a failover could not undo it; None when nothing is.

    Args:
        names: `synchronous_standby_names`.
        standbys: those that stream.
    """
    if names.strip():
        rule = RULE.match(names)
        needed = int(rule["number"]) if rule else 1
        chosen = [standby for standby in standbys if standby.role in ("sync", "quorum")]
        # Of FIRST no more than `needed` are "sync"; of ANY all are "quorum", and any of them will do.
        if sum(standby.flushed for standby in chosen) >= needed:
            return None
        return f"synchronous_standby_names asks for {needed}, {_progress(chosen)}"
    able = [standby for standby in standbys if standby.physical]
    if able and all(standby.flushed for standby in able):
        return None
    return _progress(able)


def _progress(standbys: Sequence[Standby]) -> str:
    if not standbys:
        return "none streams"
    behind = ", ".join(sorted(standby.name for standby in standbys if not standby.flushed))
    return f"behind {'are' if ',' in behind else 'is'} {behind or 'none'}, of {len(standbys)} that stream"
