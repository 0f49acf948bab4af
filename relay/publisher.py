"""Publishing a page to Kafka as fast as it goes: a small one through one lane, a large one through two at once.

Guarantees those of a lane, for a key is in one shard, a shard of a page goes through one lane, and a page is over
before the next one begins. Two lanes, since a lane waits for Kafka after each wave, and meanwhile the other one queues.
"""

import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from functools import partial

from relay.lane import Lane
from relay.message import Page
from relay.outcome import Outcome, together
from relay.producer import SLICE, WAVE_BYTES, StillOurs

STUCK_SECONDS = 10.0
"""A lane asks at least every half second whether to go on. One that does not ask for so long is stuck in librdkafka."""


class CalledOff(Exception):
    """The page was called off while it was being published."""


class Publisher:
    """Sends pages whole.

    Args:
        lanes: two of them, for this publisher alone; it closes them.
    """

    def __init__(self, lanes: tuple[Lane, Lane]) -> None:
        self._lanes = lanes
        self._threads = ThreadPoolExecutor(len(lanes), "outbox-lane")

    def close(self) -> None:
        """Drop what is queued, so that nothing goes out once the leases are given up."""
        self._threads.shutdown()
        for lane in self._lanes:
            lane.close()

    def publish(self, page: Page, still_ours: StillOurs) -> Outcome:
        """Send a page, and wait until Kafka has answered for every message of it.

        Args:
            page: what to send.
            still_ours: called at least every half second, on the caller's thread.

        Raises:
            Whatever `still_ours` raises; what was queued is taken back first.
        """
        if page.size <= WAVE_BYTES or len(page.rows) == 1:
            return self._lanes[0].publish(page, still_ours)
        called_off = threading.Event()
        heard = [time.monotonic()] * len(self._lanes)

        def check(number: int) -> None:
            heard[number] = time.monotonic()
            if called_off.is_set():
                raise CalledOff

        going = [
            self._threads.submit(lane.publish, half, partial(check, number))
            for number, (lane, half) in enumerate(zip(self._lanes, halves(page), strict=True))
        ]
        try:
            while wait(going, SLICE).not_done:
                # To wait for a lane that is stuck must not pass for work: silent, this relay is found to hang.
                if not _stuck(going, heard):
                    still_ours()
        finally:
            called_off.set()
            wait(going)
        return together(part.result() for part in going)


def _stuck(going: Sequence[Future[Outcome]], heard: Sequence[float]) -> bool:
    """Whether a lane that is not done was not heard of for too long."""
    since = [at for part, at in zip(going, heard, strict=True) if not part.done()]
    return bool(since) and time.monotonic() - min(since) > STUCK_SECONDS


def halves(page: Page) -> tuple[Page, Page]:
    """Share out the shards of a page, so that both shares have about as many bytes."""
    shares: tuple[list[int], list[int]] = [], []
    sizes = [0, 0]
    for shard, rows in page.rows.items():
        lighter = int(sizes[1] < sizes[0])
        shares[lighter].append(shard)
        sizes[lighter] += sum(row[-1] for row in rows)
    return page.without(shares[1]), page.without(shares[0])
