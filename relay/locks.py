"""The advisory locks that relays and writers meet at. A leaf: no I/O, the same numbers as in the migration.

PostgreSQL's two-integer form is used, (class, shard); the class keeps us apart from an application's own advisory
locks in the same database. The first three bytes of each class spell "out".
"""

from itertools import takewhile

LEASE = 0x6F757401
"""Session-level, exclusive, per shard: whoever holds it owns the shard."""

MEMBER = 0x6F757402
"""Session-level, shared, number 0: one for every live relay, so that they can be counted without a clock."""

DOORBELL = 0x6F757403
"""Exclusive per shard while a relay is awake; an insert tries the shared form, and rings only when it gets it."""

PRUNE = 0x6F757405
"""Session-level, exclusive, number 0: of many relays one prunes. (The class before it is that of migrations.)"""

REVISION = 0x6F757420
"""Session-level, shared, its number that of the revision that a relay was made for. A migration that such relays cannot
work with takes it exclusively until it is over, or is refused while one of them is at work."""

LOOP = 0x6F757410
"""Session-level, shared; its number is the process id of the relay's lease session. Held by the sessions on which the
loop itself works, the lease session among them: when all of these are silent, the relay is."""

BESIDE = 0x6F757411
"""The same for the other sessions of a relay, whose threads work without the loop: they prove nothing about it. A
session that prunes has its own process id for a number."""

OBEYED = 0x6F757412
"""Session-level, shared; its number is the newest act on a topic (`outbox.topic_rule`) that the relay obeys."""

VERSION = 0x6F757413
"""Session-level, shared, on the lease session; its number is the relay's version (`version_number`)."""

SINCE = 0x6F757500
"""Session-level, shared, on the lease session, a class for each shard: `SINCE` + the shard. Its number says since when
the shard is leased there, in seconds since 2000-01-01 UTC by the clock of the database, which int4 holds until 2068."""

CHANNEL = "outbox"
"""The `NOTIFY` channel on which an insert rings; its payload is the shard."""

APPLICATION = "outbox-relay"


def application_name(relay: str) -> str:
    """The `application_name` of all sessions of a relay: by it, `status` and other relays know whose a lock is."""
    return f"{APPLICATION} {relay}"


def version_number(version: str) -> int:
    """A version such as 0.12.3 as the number of a lock, 12003; what makes it a pre-release is left out."""
    major, minor, patch = (int("".join(takewhile(str.isdigit, part))) for part in version.split(".")[:3])
    return (major * 1000 + minor) * 1000 + patch
