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
    mend: str = ""
    """What a person must do; empty where another try may get another answer by itself."""

    @property
    def final(self) -> bool:
        """Whether another try gets the same answer until somebody changes the set-up."""
        return bool(self.mend)


REFUSALS = (
    Refusal(
        "28P01",
        r"password authentication failed for user",
        "libpq/auth.c",
        "check the password in DATABASE_URL, or in the file that it comes from",
    ),
    Refusal(
        "28000",
        r"(?!password)\S+ authentication failed for user",
        "libpq/auth.c",
        "that is how pg_hba.conf on the server wants this login to prove itself",
    ),
    Refusal(
        "28000",
        r"no pg_hba\.conf entry for",
        "libpq/auth.c",
        "DATABASE_URL needs sslmode=verify-full, or pg_hba.conf on the server a line for this login",
    ),
    Refusal(
        "28000",
        r"pg_hba\.conf rejects",
        "libpq/auth.c",
        "pg_hba.conf on the server rejects this login from this address",
    ),
    Refusal(
        "28000",
        r"connection requires a valid client certificate",
        "libpq/auth.c",
        "name the certificate and its key in DATABASE_URL: sslcert, sslkey",
    ),
    Refusal(
        "28000",
        r'role "[^"]*" does not exist',
        "utils/init/miscinit.c",
        "make the login, a member of outbox_relay: docs/migrations.md",
    ),
    Refusal("28000", r'role "[^"]*" is not permitted to log in', "utils/init/miscinit.c", "alter role … login"),
    Refusal(
        "3D000",
        r'database "[^"]*" does not exist',
        "utils/init/postinit.c",
        "name another database in DATABASE_URL, or make this one",
    ),
    Refusal(
        "42501",
        r'permission denied for database "[^"]*"',
        "utils/init/postinit.c",
        "grant connect on database … to this login",
    ),
    Refusal(
        "55000",
        r'cannot connect to invalid database "[^"]*"',
        "utils/init/postinit.c",
        "drop that database: it was left half dropped",
    ),
    # The server starts, stops or has too much to do, or somebody keeps everybody out for a while.
    Refusal("55000", r'database "[^"]*" is not currently accepting connections', "utils/init/postinit.c"),
    Refusal("53300", r"too many connections for (role|database)", "utils/init"),
    Refusal("53300", r"sorry, too many clients already", "storage/lmgr/proc.c"),
    Refusal("53300", r"remaining connection slots are reserved", "utils/init/postinit.c"),
    Refusal("57P03", r"the database system is starting up", "tcop"),
    Refusal("57P03", r"the database system is shutting down", "tcop"),
    Refusal("57P03", r"the database system is in recovery mode", "tcop"),
    Refusal("57P03", r"the database system is not (yet )?accepting connections", "tcop"),
    Refusal("57P01", r"terminating connection due to administrator command", "tcop/postgres.c"),
)
"""What PostgreSQL 14 to 18 say. Those that pass are listed because some of them look like those that are final."""

_SIGNED = "check who signed the server's certificate (sslrootcert), and until when it is valid"
_SHOWN = "check sslcert and sslkey; the key may be readable for nobody else"

UNTRUSTED = (
    ("certificate verify failed", _SIGNED),
    ("signature failure", _SIGNED),
    ("does not match host name", "name the server in DATABASE_URL as its certificate does"),
    ("root certificate file", "name the certificate of who signed the server's: sslrootcert"),
    ("certificate present, but not private key file", _SHOWN),
    ("could not load private key file", _SHOWN),
    ("could not read certificate file", _SHOWN),
    ("has group or world access", _SHOWN),
    ("alert", "the server does not accept this client's certificate: check sslcert, and until when it is valid"),
    ("server does not support SSL", "the server speaks no TLS: turn ssl on there"),
)
"""What libpq and OpenSSL say where either side does not accept the other's certificate, or has none; and the mend."""


def known(text: str) -> list[Refusal]:
    """The reasons in what libpq says of a connection that failed; of several servers, those of each."""
    return [one for one in REFUSALS if re.search(f"FATAL: +{one.words}", text)]


def mend_of(text: str) -> str | None:
    """What a person must do before PostgreSQL lets a session in; None where another try may get another answer.

    Args:
        text: what libpq says of a connection that failed; of several servers, of each.
    """
    return next((one.mend for one in known(text) if one.final), None)


def mend_of_trust(text: str) -> str | None:
    """What a person must do where a certificate is not accepted; None where that is not the matter."""
    return next((mend for words, mend in UNTRUSTED if words in text), None)
