"""In what words it is said that recorded positions mean nothing in a database, and what the mend is. Pure.

A position is made of transaction ids, which only the cluster that gave them can read, and of numbers of a sequence,
which may only rise. Where either does not hold, going on would skip messages silently, so everything that relies on a
position stops and says one of these.
"""

from collections.abc import Iterable

MEND = (
    "if this is the database to go on with, run: relay rebase (relay rebase --dry-run only says what it would do); "
    "else point DATABASE_URL at the right one"
)


def foreign_cluster(recorded: Iterable[int], here: int) -> str:
    """Say that positions were recorded in other clusters than this one."""
    others = ", ".join(map(str, sorted(set(recorded) - {here})))
    return (
        f"the recorded positions belong to the cluster {others}, this is {here}: it was restored from a dump, or "
        "upgraded, or is a copy; transaction ids mean nothing here"
    )


def sequence_went_back(number: int, floor: int) -> str:
    """Say that fewer numbers were drawn than are known to have been."""
    return (
        f"the sequence outbox.message_seq stands at {number}, but numbers up to {floor} were drawn: it went backwards "
        "(a TRUNCATE … RESTART IDENTITY, or a restore without sequences), and new messages would hide below it"
    )


SEQUENCE_USED_AGAIN = (
    "outbox.message has rows of new transactions with numbers that were drawn long ago: the sequence "
    "outbox.message_seq was restarted (a TRUNCATE … RESTART IDENTITY) and has been used again since, or somebody wrote "
    "xid or seq by hand; these messages would be skipped"
)


def no_position(shards: Iterable[int]) -> str:
    """Say that some shards have no checkpoint at all."""
    numbers = ", ".join(map(str, sorted(shards)))
    return (
        f"nothing is recorded of how far shard {numbers} is: checkpoints were deleted, or restored without their data"
    )


def nothing_is_published(found: str) -> str:
    """Put what was found and the mend together."""
    return f"{found}; nothing is published. The mend: {MEND}"
