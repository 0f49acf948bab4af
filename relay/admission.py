"""Which refusals of a new session a person must mend, and which pass by themselves. Pure: it reads what libpq says.

A refused connection carries no SQLSTATE in libpq, so PostgreSQL's own words decide: those of its source, in English.
What is not known here, or is told in another language, counts as passing, which is the safe side: it is waited for, and
said, instead of ending what would have gone on.
"""

import re
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Refusal:
    """A reason of PostgreSQL to turn a new session away."""

    sqlstate: str
    words: str
    """A regular expression."""
    source: str
    """Where PostgreSQL's source, below `src/backend`, says it."""
    final: bool
    """Whether another try gets the same answer until somebody changes the set-up."""


REFUSALS = (
    Refusal("28P01", r"password authentication failed for user", "libpq/auth.c", final=True),
    Refusal("28000", r"(?!password)\S+ authentication failed for user", "libpq/auth.c", final=True),
    Refusal("28000", r"no pg_hba\.conf entry for", "libpq/auth.c", final=True),
    Refusal("28000", r"pg_hba\.conf rejects", "libpq/auth.c", final=True),
    Refusal("28000", r"connection requires a valid client certificate", "libpq/auth.c", final=True),
    Refusal("28000", r'role "[^"]*" does not exist', "utils/init/miscinit.c", final=True),
    Refusal("28000", r'role "[^"]*" is not permitted to log in', "utils/init/miscinit.c", final=True),
    Refusal("3D000", r'database "[^"]*" does not exist', "utils/init/postinit.c", final=True),
    Refusal("42501", r'permission denied for database "[^"]*"', "utils/init/postinit.c", final=True),
    Refusal("55000", r'cannot connect to invalid database "[^"]*"', "utils/init/postinit.c", final=True),
    # The server starts, stops or has too much to do, or somebody keeps everybody out for a while.
    Refusal("55000", r'database "[^"]*" is not currently accepting connections', "utils/init/postinit.c", final=False),
    Refusal("53300", r"too many connections for (role|database)", "utils/init", final=False),
    Refusal("53300", r"sorry, too many clients already", "storage/lmgr/proc.c", final=False),
    Refusal("53300", r"remaining connection slots are reserved", "utils/init/postinit.c", final=False),
    Refusal("57P03", r"the database system is starting up", "tcop", final=False),
    Refusal("57P03", r"the database system is shutting down", "tcop", final=False),
    Refusal("57P03", r"the database system is in recovery mode", "tcop", final=False),
    Refusal("57P03", r"the database system is not (yet )?accepting connections", "tcop", final=False),
    Refusal("57P01", r"terminating connection due to administrator command", "tcop/postgres.c", final=False),
)
"""What PostgreSQL 14 to 18 say. Those that pass are listed because some of them look like those that are final."""

UNTRUSTED = (
    "certificate verify failed",
    "does not match host name",
    "root certificate file",
    "certificate present, but not private key file",
    "could not load private key file",
    "could not read certificate file",
    "has group or world access",
    "signature failure",
    "alert",
    "server does not support SSL",
)
"""What libpq and OpenSSL say where either side does not accept the other's certificate, or has none to show."""


def known(text: str) -> list[Refusal]:
    """The reasons in what libpq says of a connection that failed; of several servers, those of each."""
    return [one for one in REFUSALS if re.search(f"FATAL: +{one.words}", text)]


def is_final(text: str) -> bool:
    """Whether a person must act before a session can be had.

    Args:
        text: what libpq says of a connection that failed; of several servers, of each.
    """
    return any(one.final for one in known(text)) or any(words in text for words in UNTRUSTED)
