"""What becomes of a delivery and of its endpoint's queue, by what the subscriber answered. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

MINUTE, HOUR = 60.0, 3_600.0

SCHEDULE: Sequence[float] = (
    5.0,
    5 * MINUTE,
    30 * MINUTE,
    2 * HOUR,
    5 * HOUR,
    10 * HOUR,
    14 * HOUR,
    20 * HOUR,
    24 * HOUR,
)
"""Seconds between attempts, the example of Standard Webhooks ("Retry schedule"): three days in all."""

JITTER = 0.2
"""Up to how much longer a pause is, as a part of it, so that a subscriber who is back is not met by all at once."""

LONGEST_WISH = 24 * HOUR
"""What a `Retry-After` may ask for at most."""

QUEUE_PAUSES: Sequence[float] = (1.0, 2.0, 5.0, 15.0, 30.0, 60.0)
"""Seconds that an endpoint's whole queue rests after so many failures in a row: one that hangs is asked seldom."""

DISABLED_AFTER = 5 * 24 * HOUR
"""Seconds of nothing but failures, after which an endpoint is disabled."""

GONE, TOO_MANY = 410, 429
BAD_GATEWAY, UNAVAILABLE, GATEWAY_TIMEOUT = 502, 503, 504

BUSY = frozenset({TOO_MANY, BAD_GATEWAY, UNAVAILABLE, GATEWAY_TIMEOUT})
"""Answers that speak of the whole endpoint and not of this delivery (Standard Webhooks, "Responses")."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of one attempt.

    Args:
        status: of HTTP; None when there was no answer.
        error: why not, or what is worth keeping of it; None when it was taken.
        retry_after: seconds that the subscriber asks to be left alone.
        refused: whether we did not call, for the address is one of our own network.
    """

    status: int | None
    error: str | None = None
    retry_after: float | None = None
    refused: bool = False

    @property
    def taken(self) -> bool:
        """Whether the subscriber has it."""
        return self.status is not None and 200 <= self.status < 300  # noqa: PLR2004 - success (RFC 9110, section 15.3)


@dataclass(frozen=True, slots=True)
class Fate:
    """What follows.

    Args:
        seconds: until this delivery is tried again; None when it is done or dead.
        dead: whether it is given up.
        rest: seconds that the endpoint's queue rests.
        disable: why the endpoint is disabled; None when it is not.
    """

    seconds: float | None
    dead: bool
    rest: float
    disable: str | None


def decide(answer: Answer, *, attempts: int, failures: int, failing_for: float, chance: float) -> Fate:
    """Decide what follows an attempt.

    Args:
        answer: what came of it.
        attempts: of this delivery, this one included.
        failures: of the endpoint in a row, before this one.
        failing_for: seconds for which the endpoint has failed without a success.
        chance: a random number from 0 to 1, for the jitter.
    """
    if answer.taken:
        return Fate(None, dead=False, rest=0.0, disable=None)
    disable = _disable(answer, failing_for)
    if attempts > len(SCHEDULE):
        return Fate(None, dead=True, rest=_rest(answer, failures), disable=disable)
    wished = min(answer.retry_after or 0.0, LONGEST_WISH)
    pause = max(wished, SCHEDULE[attempts - 1] * (1 + JITTER * chance))
    return Fate(pause, dead=False, rest=_rest(answer, failures), disable=disable)


def _disable(answer: Answer, failing_for: float) -> str | None:
    if answer.status == GONE:
        return "it answered 410 Gone"
    if failing_for >= DISABLED_AFTER:
        return f"nothing but failures for {failing_for / 24 / HOUR:.1f} days, last: {answer.error}"
    return None


def _rest(answer: Answer, failures: int) -> float:
    """A subscriber that answers is asked for the next at once; one that does not, or is busy, rests."""
    if answer.status is not None and answer.status not in BUSY:
        return 0.0
    pause = QUEUE_PAUSES[min(failures, len(QUEUE_PAUSES) - 1)]
    return max(pause, min(answer.retry_after or 0.0, LONGEST_WISH))
