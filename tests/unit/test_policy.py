"""What becomes of a message that failed: only its own faults count, and pauses grow up to a bound."""

from hypothesis import given
from hypothesis import strategies as st

from relay.blame import Fault
from relay.hold import Failure, Scope
from relay.message import Row
from relay.policy import JITTER, PROBE_SECONDS, OnFailure, Policy, Rule

REFUSED = Failure(Fault.MESSAGE, "MSG_SIZE_TOO_LARGE", "too large")
GONE = Failure(Fault.DESTINATION, "UNKNOWN_TOPIC_OR_PART", "no such topic")
BLOCK, SKIP, HALT = (Policy(Rule(choice, 10)) for choice in OnFailure)
chances = st.floats(0, 1)


def row(key: str | None = "k", topic: str = "t") -> Row:
    return 1, 5, "id", topic, key, None, b"", None, None, '"2026-01-01T00:00:00+00:00"', False, 300


def test_pauses_double_up_to_the_longest_and_then_the_message_is_dead() -> None:
    policy = Policy(Rule(OnFailure.BLOCK_KEY, 6), first_seconds=1, longest_seconds=10)
    assert [policy.failed(row(), REFUSED, attempts, 0.5).seconds for attempts in range(6)] == [1, 2, 4, 8, 10, None]


@given(st.integers(0, 10_000), chances)
def test_an_outage_counts_no_attempt_and_kills_nothing(attempts: int, chance: float) -> None:
    hold = Policy(Rule(OnFailure.SKIP, 1)).failed(row(), GONE, attempts, chance)
    assert (hold.attempts, hold.dead, hold.scope) == (attempts, False, Scope.TOPIC)
    assert hold.seconds is not None
    assert abs(hold.seconds - PROBE_SECONDS) <= PROBE_SECONDS * JITTER * 1.001


@given(st.integers(0, 100_000), chances)
def test_jitter_keeps_a_pause_near_its_even_length(attempts: int, chance: float) -> None:
    policy = Policy(Rule(OnFailure.BLOCK_KEY, 1_000_000))
    even, found = policy.failed(row(), REFUSED, attempts, 0.5).seconds, policy.failed(row(), REFUSED, attempts, chance)
    assert even is not None
    assert found.seconds is not None
    assert abs(found.seconds - even) <= even * JITTER * 1.001


def test_what_waits_behind_a_refused_message_is_the_topics_choice() -> None:
    assert [policy.failed(row(), REFUSED, 0, 0.5).scope for policy in (BLOCK, SKIP, HALT)] == [
        Scope.KEY,
        Scope.NONE,
        Scope.TOPIC,
    ]


def test_nothing_waits_behind_a_message_without_a_key_unless_its_topic_halts() -> None:
    assert [policy.failed(row(None), REFUSED, 0, 0.5).scope for policy in (BLOCK, SKIP, HALT)] == [
        Scope.NONE,
        Scope.NONE,
        Scope.TOPIC,
    ]


def test_a_topic_may_have_a_rule_of_its_own() -> None:
    policy = Policy(Rule(OnFailure.BLOCK_KEY, 10), {"audit": Rule(OnFailure.HALT, 1)})
    own, other = policy.failed(row(topic="audit"), REFUSED, 0, 0.5), policy.failed(row(), REFUSED, 0, 0.5)
    assert (own.scope, own.dead) == (Scope.TOPIC, True)
    assert (other.scope, other.dead) == (Scope.KEY, False)
