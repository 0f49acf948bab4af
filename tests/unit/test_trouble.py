"""What the relay does while Kafka has trouble."""

from relay.blame import Fault
from relay.trouble import LAST_RETRY, LONGEST_PAUSE, MANY, Setbacks, StoppedShards


def test_a_refused_message_is_tried_again_less_and_less_often_but_for_ever() -> None:
    stopped, now, waits = StoppedShards(), 0.0, []
    for _ in range(8):
        waits.append(stopped.stop(3, now, Fault.MESSAGE))
        assert stopped.due(now) == []
        now += waits[-1]
        assert stopped.due(now) == [3]
    assert waits == [2, 4, 8, 16, 32, 60, 60, 60]
    assert max(waits) == LAST_RETRY[Fault.MESSAGE]


def test_a_topic_that_comes_back_is_noticed_within_seconds_however_long_it_was_away() -> None:
    stopped = StoppedShards()
    assert [stopped.stop(3, now, Fault.DESTINATION) for now in range(100)][-1] == LAST_RETRY[Fault.DESTINATION] == 5


def test_a_shard_that_went_on_begins_with_a_short_wait_again() -> None:
    stopped = StoppedShards()
    stopped.stop(3, 0.0, Fault.MESSAGE)
    stopped.stop(3, 2.0, Fault.MESSAGE)
    stopped.go_on([3, 4])
    assert stopped.seconds_until_due(9.0) == []
    assert stopped.stop(3, 9.0, Fault.MESSAGE) == 2


def test_an_outage_sends_less_at_a_time_down_to_one_message_and_never_gives_up() -> None:
    setbacks, longest, pauses = Setbacks(), 625, []
    for _ in range(2_000):
        pauses.append(setbacks.suffered(longest))
        longest = setbacks.rows or longest
    assert longest == 1
    assert pauses == sorted(pauses)
    assert pauses[-1] == LONGEST_PAUSE


def test_after_an_outage_pages_grow_to_their_full_size() -> None:
    setbacks = Setbacks()
    setbacks.suffered(4)
    assert setbacks.rows == 1
    sizes: list[int | None] = []
    for _ in range(8):
        setbacks.overcome()
        sizes.append(setbacks.rows)
    assert sizes == [4, 16, 64, 256, 1024, None, None, None]
    assert sizes[4] == MANY + 24
