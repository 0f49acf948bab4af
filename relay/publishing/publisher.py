"""Publishing a batch to Kafka as fast as it goes: a small one through one lane, a large one through two at once.

Guarantees those of a lane, for a key is in one shard, a shard of a batch goes through one lane, and a batch is over
before the next one begins. Two lanes, since a lane waits for Kafka after each wave, and meanwhile the other one queues.
"""

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from functools import partial

from relay.message import Batch, Row
from relay.publishing.lane import Lane
from relay.publishing.outcome import Outcome, together
from relay.publishing.permit import Permit
from relay.publishing.producer import SLICE, WAVE_BYTES, StillOurs


class Publisher:
    """Sends batches whole.

    Args:
        lanes: two of them, for this publisher alone; it closes them.
    """

    def __init__(self, lanes: tuple[Lane, Lane]) -> None:
        self._lanes = lanes
        self._threads = ThreadPoolExecutor(len(lanes), "outbox-lane")

    @property
    def queued(self) -> int:
        """How many messages were given to the producers and are not acknowledged yet; any thread may ask."""
        return sum(lane.queued for lane in self._lanes)

    def close(self) -> None:
        """Drop what is queued, so that nothing goes out once the leases are given up."""
        self._threads.shutdown()
        for lane in self._lanes:
            lane.close()

    def serve(self) -> None:
        """Hear what the producers have to say while they have nothing to send."""
        for lane in self._lanes:
            lane.serve()

    def publish(self, batch: Batch, still_ours: StillOurs) -> Outcome:
        """Send a batch, and wait until Kafka has answered for every message of it.

        Args:
            batch: what to send.
            still_ours: called at least every half second, on the caller's thread.

        Raises:
            Whatever `still_ours` raises; what was queued is taken back first.
        """
        if batch.size <= WAVE_BYTES or len(batch.rows) == 1:
            return self._lanes[0].publish(batch, still_ours)
        asked = time.monotonic()
        still_ours()
        permit = Permit(len(self._lanes), asked)
        going = [
            self._threads.submit(lane.publish, half, partial(permit.ask, number))
            for number, (lane, half) in enumerate(zip(self._lanes, halves(batch), strict=True))
        ]
        try:
            while wait(going, SLICE).not_done:
                # To wait for a lane that is stuck must not pass for work: silent, this relay is found to hang.
                if not permit.stuck([number for number, part in enumerate(going) if not part.done()]):
                    asked = time.monotonic()
                    still_ours()
                    permit.renew(asked)
        finally:
            permit.call_off()
            wait(going)
        return together(part.result() for part in going)


def halves(batch: Batch) -> tuple[Batch, Batch]:
    """Share out the shards of a batch, so that both shares have about as many bytes."""
    shares: tuple[dict[int, Sequence[Row]], dict[int, Sequence[Row]]] = {}, {}
    sizes = [0, 0]
    for shard, rows in batch.rows.items():
        lighter = int(sizes[1] < sizes[0])
        shares[lighter][shard] = rows
        sizes[lighter] += sum(row[-1] for row in rows)
    return Batch(shares[0], sizes[0]), Batch(shares[1], sizes[1])
