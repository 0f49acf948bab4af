"""Where the leased shards stand in memory, ahead of their checkpoints, and when to record it. Decides; does no I/O."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from relay.message import Page, Position

FLOOR_DISTANCE = 1_500
"""Numbers drawn beyond the floor until it is renewed though nothing was sent. While one open transaction writes
millions of rows, or rolls them back, every read would wade through all those above an old floor."""


@dataclass(slots=True)
class Progress:
    """The positions of the shards that are ours.

    A position may run ahead of its checkpoint: what a crash repeats is what lies between. It may not run ahead of what
    Kafka acknowledged.
    """

    positions: dict[int, Position] = field(default_factory=dict)
    unrecorded: dict[int, int] = field(default_factory=dict)
    """How many messages of each shard were published since its last checkpoint."""
    since: float = 0.0
    """When the last checkpoint was appended, in seconds of the caller's clock."""

    def add(self, positions: Mapping[int, Position]) -> None:
        """Begin with shards that were leased."""
        self.positions.update(positions)

    def drop(self, shards: Collection[int]) -> None:
        """End with shards that are ours no more."""
        for shard in shards:
            self.positions.pop(shard, None)
            self.unrecorded.pop(shard, None)

    def settle(self, page: Page, stuck: Mapping[int, int], held: Mapping[int, int]) -> None:
        """Move behind what was settled of a page, shard by shard, and behind what had nothing to publish.

        Args:
            page: the page.
            stuck: for each shard of which not all was settled, the number of the first message that was not.
            held: how many of the settled messages of each shard were set aside, not published.
        """
        for shard, after in page.after.items():
            rows = page.rows.get(shard, ())
            settled = len(rows)
            if shard in stuck:
                settled = sum(1 for row in rows if row[1] < stuck[shard])
                after = page.before_number(shard, stuck[shard])  # noqa: PLW2901 - the same, corrected
            self.positions[shard] = after
            if published := settled - held.get(shard, 0):
                self.unrecorded[shard] = self.unrecorded.get(shard, 0) + published

    def recorded(self, now: float) -> None:
        """Take note that all positions are recorded."""
        self.unrecorded.clear()
        self.since = now

    def still_true(self, page: Page) -> Page:
        """Keep of a page that was read ahead the shards that came to stand where it was read from."""
        moved = [shard for shard, before in page.before.items() if self.positions.get(shard) != before]
        return page.without(moved) if moved else page

    def standing_after(self, page: Page) -> dict[int, Position]:
        """Where the shards will stand when a page is published whole: what the next one is read from."""
        return {**self.positions, **page.after}

    def wait(self, now: float, interval: float, most: int) -> float | None:
        """Seconds until the next checkpoint is due; None when there is nothing to record."""
        if not self.unrecorded:
            return None
        return 0.0 if sum(self.unrecorded.values()) >= most else max(0.0, self.since + interval - now)


def floor_is_old(sequence: int, floor: int) -> bool:
    """Whether the sequence has run so far ahead of the floor that it should be renewed."""
    return sequence - floor > FLOOR_DISTANCE
