"""Counts what came of each registration, payment and chat message, and why something may have come twice. Pure.

A mail may come twice under one `Message-ID` where its server's answer was lost, or where the process that handed it
over died before it committed. That process hands over one mail at a time and commits after each, so a death excuses
its last mail alone, and a crash of the database the one that it had in hand.
"""

from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

MOST_EXAMPLES = 5


@dataclass(frozen=True, slots=True)
class Line:
    """What came of all of one kind."""

    what: str
    due: int
    once: int
    repeated: Mapping[str, int] = field(default_factory=dict)
    """Excused repeats, by their reason."""
    missing: int = 0
    doubled: int = 0
    invented: int = 0
    examples: Sequence[str] = ()
    """Some of what is wrong."""

    @property
    def broken(self) -> bool:
        """Whether the promise did not hold."""
        return bool(self.missing or self.doubled or self.invented)


def line(
    what: str,
    due: Iterable[Hashable],
    found: Iterable[Hashable],
    excuses: Mapping[Any, Mapping[str, int]] | None = None,
) -> Line:
    """Compare what must be there, once each, with what is there.

    Args:
        what: the line's name.
        due: what must be there.
        found: what is there.
        excuses: for which of it more than one is allowed: how many more, by reason.
    """
    wanted, counts, reasons = set(due), Counter(iter(found)), Counter[str]()
    missing, invented = wanted - counts.keys(), counts.keys() - wanted
    doubled: dict[Hashable, int] = {}
    for key in wanted & counts.keys():
        excused = (excuses or {}).get(key, {})
        reasons.update(excused)
        if beyond := counts[key] - 1 - sum(excused.values()):
            doubled[key] = beyond
    wrong = [
        *(f"missing: {key}" for key in missing),
        *(f"{beyond} too many: {key}" for key, beyond in doubled.items()),
        *(f"invented: {key}" for key in invented),
    ]
    return Line(
        what,
        len(wanted),
        sum(counts[key] == 1 for key in wanted),
        dict(reasons),
        len(missing),
        sum(doubled.values()),
        len(invented),
        wrong[:MOST_EXAMPLES],
    )


@dataclass(frozen=True, slots=True)
class Copy:
    """A mail as the server took it."""

    id: str
    to: str
    subject: str
    by: str
    """The process that brought it."""
    at: float
    answered: float | None
    """When it was said that it was taken; None where that was not, or too late."""


@dataclass(frozen=True, slots=True)
class Death:
    """A process, or with no name the database, ended without warning."""

    process: str | None
    at: float


LOST, DIED = "answer lost", "worker died"


def excused_mails(copies: Sequence[Copy], deaths: Sequence[Death]) -> dict[Hashable, Counter[str]]:
    """Tell for which mails, by recipient and subject, more than one copy is allowed, and why.

    Args:
        copies: all that the server took, in order.
        deaths: all that there were.
    """
    mails: dict[Hashable, list[Copy]] = defaultdict(list)
    for copy in copies:
        mails[copy.to, copy.subject].append(copy)
    found = {}
    for mail, its in mails.items():
        reasons = Counter(
            reason
            for copy, again in pairwise(its)
            # Under another name nobody can tell that it is the same.
            if copy.id == again.id and (reason := _excuse(copy, copies, deaths))
        )
        if reasons:
            found[mail] = reasons
    return found


def _excuse(copy: Copy, copies: Sequence[Copy], deaths: Sequence[Death]) -> str | None:
    if copy.answered is None:
        return LOST
    next_ = min((one.at for one in copies if one.by == copy.by and one.at > copy.at), default=float("inf"))
    died = any(death.process == copy.by for death in deaths) and next_ == float("inf")
    crashed = any(death.process is None and copy.at <= death.at <= next_ for death in deaths)
    return DIED if died or crashed else None


@dataclass(frozen=True, slots=True)
class Post:
    """A webhook as the subscriber got it."""

    id: str
    event: Hashable
    at: float


def excused_posts(posts: Sequence[Post], deaths: Sequence[Death]) -> dict[Hashable, Counter[str]]:
    """Tell which events may have been posted more than once: one more for each death of who posts, in between.

    Args:
        posts: all that came, in order.
        deaths: of the workers that post, and of the database.
    """
    events: dict[Hashable, list[Post]] = defaultdict(list)
    for post in posts:
        events[post.event].append(post)
    found = {}
    for event, its in events.items():
        excused = sum(
            one.id == other.id and any(one.at <= death.at + 1 and death.at <= other.at for death in deaths)
            for one, other in pairwise(its)
        )
        if excused:
            found[event] = Counter({DIED: excused})
    return found
