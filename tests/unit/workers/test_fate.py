"""What follows an attempt: retries at longer and longer intervals, an end, and an endpoint that is left alone."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app_integration.workers.integrations.fate import (
    DISABLED_AFTER,
    QUEUE_PAUSES,
    SCHEDULE,
    Answer,
    decide,
)

CHANCES = st.floats(0, 1)


def decided(answer: Answer, attempts: int = 1, failures: int = 0, failing_for: float = 0.0, chance: float = 0.5):  # type: ignore[no-untyped-def]  # noqa: ANN201
    return decide(answer, attempts=attempts, failures=failures, failing_for=failing_for, chance=chance)


@given(st.integers(200, 299), st.integers(1, 100), CHANCES)
def test_any_2xx_is_taken_whatever_came_before(status: int, attempts: int, chance: float) -> None:
    fate = decided(Answer(status), attempts, 50, 1e9, chance)
    assert (fate.seconds, fate.dead, fate.rest, fate.disable) == (None, False, 0.0, None)


@given(st.one_of(st.none(), st.integers(100, 199), st.integers(300, 599)), st.integers(1, 9), CHANCES)
def test_what_is_not_taken_is_tried_again_no_sooner_than_the_schedule_says(
    status: int | None, attempts: int, chance: float
) -> None:
    fate = decided(Answer(status, "no"), attempts, chance=chance)
    assert not fate.dead
    assert SCHEDULE[attempts - 1] <= fate.seconds <= SCHEDULE[attempts - 1] * 1.2


def test_after_the_last_attempt_it_is_given_up() -> None:
    assert decided(Answer(500, "no"), len(SCHEDULE) + 1).dead
    assert not decided(Answer(500, "no"), len(SCHEDULE)).dead


@pytest.mark.parametrize(("status", "rests"), [(None, True), (429, True), (503, True), (400, False), (500, False)])
def test_a_queue_rests_when_its_endpoint_does_not_answer_and_not_for_one_delivery_that_it_dislikes(
    status: int | None, rests: bool
) -> None:
    assert [decided(Answer(status, "no"), failures=n).rest for n in (0, 3, 99)] == (
        [QUEUE_PAUSES[0], QUEUE_PAUSES[3], QUEUE_PAUSES[-1]] if rests else [0, 0, 0]
    )


def test_a_subscriber_may_ask_to_be_left_alone_for_up_to_a_day() -> None:
    fate = decided(Answer(429, "no", retry_after=3_600))
    assert (fate.seconds, fate.rest) == (3_600, 3_600)
    assert decided(Answer(429, "no", retry_after=1e12)).rest == 86_400


def test_an_endpoint_is_disabled_when_it_is_gone_or_has_failed_for_days() -> None:
    assert decided(Answer(410, "gone")).disable == "it answered 410 Gone"
    assert decided(Answer(None, "no answer"), failing_for=DISABLED_AFTER - 1).disable is None
    assert "5.0 days, last: no answer" in (decided(Answer(None, "no answer"), failing_for=DISABLED_AFTER).disable or "")
