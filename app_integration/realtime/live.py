"""Where history ends and live begins, for each client of one stream of a room, on one server. Pure.

Guarantees: a client gets each entry once and in order, whatever Kafka repeats and however far Kafka is behind the
database when the client joins. A stream's entries are numbered without a hole by the transaction that stores them, so
a number says all: at or below a client's position it was had already, one above is next, more is a gap to be read from
the database.

A join takes three steps. `begin`, before history is read: from here on nothing live is lost, it is kept. Then the
history is read, up to number `n`. `ready`, with `n`: what was kept above `n` follows, and the client is live.
"""

from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

Client = TypeVar("Client", bound=Hashable)
Entry = dict[str, Any]

MOST_KEPT = 1_000
"""Entries kept for a client that reads its history; a busier room, or a slower database, refuses the join."""


class TooBusy(Exception):
    """More came while history was read than is kept."""


@dataclass(slots=True)
class Live(Generic[Client]):
    """One stream of a room, as far as this server has clients in it."""

    last: int | None = None
    """The highest number that clients here have; None until the first has read its history."""
    _live: dict[Client, None] = field(default_factory=dict)
    _ahead: dict[Client, int] = field(default_factory=dict)
    """Clients whose history reaches beyond what has come through Kafka, and how far."""
    _joining: dict[Client, list[Entry]] = field(default_factory=dict)

    def begin(self, client: Client) -> None:
        """Keep what comes for a client that is about to read its history."""
        self._joining[client] = []

    def ready(self, client: Client, sequence: int) -> list[Entry]:
        """Make a client live whose history ends with a number.

        Returns:
            What came in the meantime and is not in its history, to be given to it after that.

        Raises:
            TooBusy: too much came; the client has not joined.
        """
        kept = self._joining.pop(client, [])
        if len(kept) > MOST_KEPT:
            raise TooBusy
        follow, reached = [], sequence
        for entry in kept:
            if entry["sequence"] == reached + 1:
                follow.append(entry)
                reached += 1
        if self.last is None:
            self.last = reached
        elif reached > self.last:
            self._ahead[client] = reached
        self._live[client] = None
        return follow

    def remove(self, client: Client) -> None:
        """Forget a client, in whatever state."""
        self._live.pop(client, None)
        self._ahead.pop(client, None)
        self._joining.pop(client, None)

    def missing(self, sequence: int) -> range:
        """Tell which numbers should have come before this one and did not."""
        return range(0) if self.last is None else range(self.last + 1, sequence)

    def offer(self, entry: Entry) -> list[Client]:
        """Take an entry that has come, and tell to which clients it is new; those who join get it later."""
        sequence = entry["sequence"]
        if self.last is not None and sequence <= self.last:
            return []
        for kept in self._joining.values():
            if len(kept) <= MOST_KEPT and (not kept or kept[-1]["sequence"] < sequence):
                kept.append(entry)
        if self.last is None:
            return []
        self.last = sequence
        if not self._ahead:
            return list(self._live)
        behind = [client for client in self._live if self._ahead.get(client, 0) < sequence]
        self._ahead = {client: reached for client, reached in self._ahead.items() if reached > sequence}
        return behind
