"""Who must wait behind held messages, and behind what."""

from relay.blame import Fault
from relay.hold import Failure, Hold, Scope
from relay.message import Row
from relay.waits import Waits

REFUSED = Failure(Fault.MESSAGE, "MSG_SIZE_TOO_LARGE", "too large")
GONE = Failure(Fault.DESTINATION, "UNKNOWN_TOPIC_OR_PART", "no such topic")


def row(seq: int, key: str | None, shard: int = 1, topic: str = "t") -> Row:
    return shard, seq, f"id-{seq}", topic, key, None, b"", None, None, '"2026-01-01T00:00:00+00:00"', False, 300


def test_message_behind_a_dead_one_of_its_key_does_not_keep_its_topic_waiting_when_that_was_away() -> None:
    waits = Waits()
    waits.add(Hold(row(1, "a"), Scope.KEY, REFUSED, 1, None))
    waits.add(Hold(row(2, "b"), Scope.TOPIC, GONE, 0, 2.5))
    assert [waits.behind(row(3, key)) for key in ("a", "b", "c", None)] == [Scope.KEY, *[Scope.TOPIC] * 3]


def test_failure_of_a_topic_halts_it_in_every_shard_and_no_other_topic() -> None:
    waits = Waits()
    waits.add(Hold(row(1, "a"), Scope.TOPIC, GONE, 0, 2.5))
    assert waits.behind(row(2, "b", shard=2)) is Scope.TOPIC
    assert waits.behind(row(2, "a", topic="u")) is None


def test_shards_that_are_given_up_leave_nothing_behind() -> None:
    waits = Waits()
    waits.add(Hold(row(1, "a"), Scope.KEY, REFUSED, 1, None))
    waits.add(Hold(row(2, "b", shard=2), Scope.KEY, REFUSED, 1, None))
    waits.drop({1})
    assert waits.queues == {(2, "t", "b")}
