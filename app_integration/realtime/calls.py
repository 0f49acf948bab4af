"""What may happen to a call, and when. Pure: a table; whatever is not in it is refused and nothing happens."""

from enum import StrEnum

from app_integration.realtime.refusal import Refusal


class State(StrEnum):
    """Where a call is."""

    RINGING = "ringing"
    ACTIVE = "active"
    ENDED = "ended"


class Step(StrEnum):
    """What happens to it; those that end it are also why it ended."""

    ANSWER = "answered"
    DECLINE = "declined"
    CANCEL = "cancelled"
    HANG_UP = "hung_up"
    TIME_OUT = "no_answer"
    LOSE = "connection_lost"


AFTER = {
    (State.RINGING, Step.ANSWER): State.ACTIVE,
    (State.RINGING, Step.DECLINE): State.ENDED,
    (State.RINGING, Step.CANCEL): State.ENDED,
    (State.RINGING, Step.TIME_OUT): State.ENDED,
    (State.RINGING, Step.LOSE): State.ENDED,
    (State.ACTIVE, Step.HANG_UP): State.ENDED,
    (State.ACTIVE, Step.LOSE): State.ENDED,
}


def after(state: State, step: Step) -> State:
    """Tell where a call is after a step.

    Raises:
        Refusal: the step is not possible there.
    """
    try:
        return AFTER[state, step]
    except KeyError:
        raise Refusal("call_over" if state is State.ENDED else "call_state", f"the call is {state.value}") from None


def ending(state: State, *, by_caller: bool) -> Step:
    """Tell what hanging up means: the same button ends, takes back and declines."""
    if state is State.RINGING:
        return Step.CANCEL if by_caller else Step.DECLINE
    return Step.HANG_UP
