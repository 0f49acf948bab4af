"""A lane sends by the loop's fresh word alone."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest

from relay.message import Batch, Row
from relay.publishing.outcome import Outcome
from relay.publishing.permit import CalledOff, Permit
from relay.publishing.producer import GRACE, WAVE_BYTES, StillOurs
from relay.publishing.publisher import Publisher


def test_a_fresh_word_lets_a_lane_pass() -> None:
    Permit(1, time.monotonic()).ask(0)


def test_a_lane_waits_when_the_word_is_old_and_goes_on_with_a_new_one() -> None:
    permit = Permit(1, time.monotonic() - GRACE)
    with ThreadPoolExecutor(1) as thread:
        asking = thread.submit(permit.ask, 0)
        with pytest.raises(TimeoutError):
            asking.result(0.2)
        permit.renew(time.monotonic() - GRACE)
        with pytest.raises(TimeoutError):
            asking.result(0.2)
        permit.renew(time.monotonic())
        asking.result(20)


def test_a_lane_that_waits_for_the_loops_word_is_not_stuck(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("relay.publishing.permit.STUCK_SECONDS", 0.05)
    permit = Permit(2, time.monotonic() - GRACE)
    with ThreadPoolExecutor(1) as thread:
        asking = thread.submit(permit.ask, 0)
        with pytest.raises(TimeoutError):
            asking.result(0.3)
        assert not permit.stuck([0])
        assert permit.stuck([1])
        permit.renew(time.monotonic())
        asking.result(20)


def test_a_page_that_is_called_off_ends_lanes_that_wait_and_lanes_that_ask() -> None:
    permit = Permit(2, time.monotonic() - GRACE)
    with ThreadPoolExecutor(1) as thread:
        asking = thread.submit(permit.ask, 0)
        permit.call_off()
        with pytest.raises(CalledOff):
            asking.result(20)
    permit.renew(time.monotonic())
    with pytest.raises(CalledOff):
        permit.ask(1)


class Standing:
    """A lane that asks when it is told to, and may stand still for as long as a test likes."""

    def __init__(self) -> None:
        self.goes_on = threading.Event()

    def publish(self, batch: Batch, still_ours: StillOurs) -> Outcome:
        self.goes_on.wait(60)
        still_ours()
        return Outcome(set(batch.rows))

    def close(self) -> None:
        """It has nothing queued."""


def batch() -> Batch:
    def row(shard: int) -> Row:
        return shard, 1, "id", "t", "k", None, b"", None, None, '"2026-01-01T00:00:00+00:00"', False, WAVE_BYTES

    return Batch.of({1: [row(1)], 2: [row(2)]})


def test_waiting_for_a_lane_that_is_stuck_does_not_pass_for_work(monkeypatch: pytest.MonkeyPatch) -> None:
    """The loop asks PostgreSQL no more, so that the relay falls silent, and goes on when the lane does."""
    monkeypatch.setattr("relay.publishing.permit.STUCK_SECONDS", 1.2)
    lanes = Standing(), Standing()
    publisher = Publisher(lanes)  # type: ignore[arg-type]
    asked: list[float] = []
    with ThreadPoolExecutor(1) as thread:
        going = thread.submit(publisher.publish, batch(), lambda: asked.append(time.monotonic()))
        count = 0
        while count < len(asked) or not asked:
            count = len(asked)
            with suppress(TimeoutError):
                going.result(1.6)
        assert not going.done()
        for lane in lanes:
            lane.goes_on.set()
        assert going.result(20) == Outcome({1, 2})
    publisher.close()
