"""What can be said of settings before anything runs: no server is asked. For a pipeline, before it deploys them.

That the settings can be read at all, `relay.configuration.settings` has made sure by then.
"""

import stat
from collections.abc import Iterator
from pathlib import Path

from psycopg.conninfo import conninfo_to_dict

from relay.configuration.settings import Settings
from relay.connection import where
from relay.errors import SettingsError
from relay.printable import counted
from relay.publishing.producer import make
from relay.watching.findings import Finding, Level

FILES = ("sslrootcert", "sslcert", "sslkey", "sslcrl", "passfile")
"""The parameters of a PostgreSQL URL that name a file (libpq)."""

KEYS = ("ssl.key.location", "ssl.keystore.location")
"""Properties that name a file with a private key. (libpq looks at its own by itself.)"""

UNVERIFIED = ("", "disable", "allow", "prefer", "require")
"""Values of `sslmode` with which anybody on the way could be the database."""


def examine_settings(settings: Settings) -> Iterator[Finding]:
    """Judge the settings alone."""
    yield Finding(
        "settings",
        Level.OK,
        f"read, with {counted(len(settings.topics), 'topic')} and {counted(len(settings.secrets), 'secret file')}",
    )
    yield from _database(settings.database_url)
    yield _kafka(settings)


def _database(url: str) -> Iterator[Finding]:
    parts = {name: str(value) for name, value in conninfo_to_dict(url).items()}
    missing = [f"{name} {parts[name]}" for name in FILES if name in parts and not _is_there(parts[name])]
    if missing:
        found = f"DATABASE_URL names files that are not there or cannot be read: {', '.join(missing)}"
        yield Finding("database", Level.PROBLEM, found, "put them there, or correct DATABASE_URL")
    elif parts.get("sslmode", "") in UNVERIFIED and not _is_local(parts):
        found = f"the connection to {where(url)} does not check whom it leads to"
        mend = "add sslmode=verify-full&sslrootcert=/path/to/ca.pem to DATABASE_URL"
        yield Finding("database", Level.WARNING, found, mend)
    else:
        yield Finding("database", Level.OK, f"{where(url)}, not asked")


def _is_there(path: str) -> bool:
    # "system" stands for the machine's own certificates.
    try:
        with Path(path).open("rb"):
            return True
    except OSError:
        return path == "system"


def _is_open(path: str) -> bool:
    return bool(Path(path).stat().st_mode & stat.S_IROTH)


def _is_local(parts: dict[str, str]) -> bool:
    hosts = parts.get("host", "localhost").split(",")
    return all(host in {"localhost", "127.0.0.1", "::1"} or host.startswith(("/", "@")) for host in hosts)


def _kafka(settings: Settings) -> Finding:
    try:
        # Without brokers it has nobody to ask. Made as the relay's own are: files of certificates are read here.
        make(settings.kafka, lambda *_: None)
    except SettingsError as error:
        return Finding("kafka", Level.PROBLEM, str(error), "correct [kafka] or the variables")
    open_to_all = [name for name in KEYS if name in settings.kafka and _is_open(settings.kafka[name])]
    if open_to_all:
        paths = ", ".join(f"{name} {settings.kafka[name]}" for name in open_to_all)
        found = f"every user of this machine may read what only the relay should: {paths}"
        return Finding("kafka", Level.WARNING, found, "chmod o-r these files; in Kubernetes, set defaultMode: 0440")
    return Finding(
        "kafka", Level.OK, f"librdkafka takes the {len(settings.kafka)} properties; {settings.kafka_brokers}, not asked"
    )
