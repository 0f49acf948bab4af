"""Which held messages an operator means, in options of the command line and in words. Pure.

Guarantees: a choice that is empty, malformed or contradicts itself is refused by the name of the option, with what was
found and what is allowed, before anything is asked of the database. The same rules hold for who calls the SQL functions
(`outbox.demand_choice`); a test compares the two.
"""

import re
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from relay.errors import ChoiceError
from relay.printable import quoted

FAILED = ("dead", "retrying", "unreachable")
"""The states of what has failed: all that `relay replay` makes due."""

HELD = (*FAILED, "blocked", "scheduled", "replaying")
"""The states that can be discarded, and listed."""

AGE = re.compile(r"(\d{1,5})([smhdw])")

UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}

TIMES = "a time such as 2026-01-31T03:00+01:00 (UTC unless it says), or an age such as 90s, 15m, 2h or 3d"

Moment = datetime | timedelta
"""A time, or how long before now it is."""


@dataclass(frozen=True, slots=True)
class Choice:
    """What an operator means: all that is named must hold.

    The times are those since when messages are held; with `sent`, those of sending.
    """

    ids: tuple[UUID, ...] = ()
    topic: str | None = None
    key: str | None = None
    error: str | None = None
    """The code of an error, or a part of its text, in upper or lower case."""
    state: str | None = None
    after: Moment | None = None
    before: Moment | None = None
    everything: bool = False
    sent: bool = False
    """Messages that were sent, instead of those that failed."""
    force: bool = False
    """With `sent`: consumers are asked to handle them once more, though they have."""

    def at(self, now: datetime) -> "Choice":
        """The same with ages turned into times.

        Args:
            now: the database's own time, for it has stamped what is held.

        Raises:
            ChoiceError: no time lies between the two.
        """
        after, before = (now - value if isinstance(value, timedelta) else value for value in (self.after, self.before))
        if after is not None and before is not None and after >= before:
            raise ChoiceError(f"--after is {told(after)}, not earlier than --before, {told(before)}")
        return replace(self, after=after, before=before)

    def in_words(self) -> str:
        """Say what is chosen, to complete "… messages"."""
        if self.ids:
            return f"with {len(self.ids):,} ids" if len(self.ids) > 1 else f"with id {self.ids[0]}"
        said = {
            "of topic {}": _quoted(self.topic),
            "with key {}": _quoted(self.key),
            "with an error like {}": _quoted(self.error),
            "in state {}": self.state,
            f"{'sent' if self.sent else 'held'} since {{}}": _told(self.after),
            f"{'sent' if self.sent else 'held'} before {{}}": _told(self.before),
        }
        return ", ".join(words.format(value) for words, value in said.items() if value is not None) or "of all topics"

    def parameters(self) -> dict[str, Any]:
        """Give the values for SQL, by the names of `outbox.choice`; null for what does not matter."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {**values, "ids": list(self.ids) or None}


def read(
    ids: list[str] | None,
    *,
    states: tuple[str, ...] = HELD,
    after: str | None = None,
    before: str | None = None,
    **named: Any,
) -> Choice:
    """Make a choice of what was written on the command line.

    Args:
        ids: as given.
        states: those that may be named.
        after: as given.
        before: as given.
        named: the other fields of `Choice`.

    Raises:
        ChoiceError: something is malformed, or excludes something else; a line for each.
    """
    problems: list[str] = []
    choice = Choice(
        ids=tuple(dict.fromkeys(_uuid(text, problems) for text in ids or ())),
        after=_moment("--after", after, problems),
        before=_moment("--before", before, problems),
        **named,
    )
    problems += _contradictions(choice, states)
    if not problems and choice == Choice(sent=choice.sent, force=choice.force):
        problems.append(
            "nothing is chosen; allowed: ids, --topic, --key, --error, --state, --after, --before, or --all"
        )
    if problems:
        raise ChoiceError("\n".join(problems))
    return choice


def told(moment: datetime) -> str:
    """A time in words."""
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def _quoted(text: str | None) -> str | None:
    return None if text is None else quoted(text)


def _told(moment: Moment | None) -> str | None:
    return told(moment) if isinstance(moment, datetime) else None if moment is None else f"{moment} ago"


def _uuid(text: str, problems: list[str]) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        problems.append(f"{quoted(text)} is not the id of a message; allowed: a UUID, as relay failed shows it")
        return UUID(int=0)


def _moment(option: str, text: str | None, problems: list[str]) -> Moment | None:
    if text is None:
        return None
    try:
        if age := AGE.fullmatch(text.strip()):
            return timedelta(**{UNITS[age[2]]: int(age[1])})
        time = datetime.fromisoformat(text.strip())
        return (time if time.tzinfo else time.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        problems.append(f"{option} is {quoted(text)}; allowed: {TIMES}")
        return None


def _contradictions(choice: Choice, states: tuple[str, ...]) -> list[str]:
    filters = {"--topic": choice.topic, "--key": choice.key, "--error": choice.error, "--state": choice.state}
    times = {"--after": choice.after, "--before": choice.before}
    given = [name for name, value in filters.items() if value is not None]
    beside = [*given, *(name for name, value in times.items() if value is not None)] + ["--all"] * choice.everything
    problems = []
    if choice.ids and beside:
        problems.append(f"ids are given together with {', '.join(beside)}; allowed: ids alone")
    if choice.everything and given:
        problems.append(f"--all is given together with {', '.join(given)}; allowed: one or the other")
    if choice.key is not None and choice.topic is None:
        problems.append("--key is given without --topic; allowed: a key of one topic")
    if choice.error == "":
        problems.append("--error is empty; allowed: the code of an error, or a part of its text")
    if choice.sent and (choice.error is not None or choice.state is not None):
        problems.append("--error or --state is given with --sent; messages that were sent have none, leave it out")
    if choice.force and not choice.sent:
        problems.append("--force is given without --sent; nobody has handled what was never sent, leave it out")
    if choice.state is not None and choice.state not in states:
        problems.append(f"--state is {quoted(choice.state)}; allowed: {', '.join(states)}")
    return problems
