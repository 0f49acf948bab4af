"""How workers, real-time servers and the example read a variable of the environment, or the file that it names.

What is secret may stand in a file of its own, whose path is in the variable with `_FILE` behind its name, as Docker,
Kubernetes and systemd give them; it is read as the relay reads its own (`relay.configuration.secret_file`): one that
every user of the machine may read is refused, and so is a variable that is set both ways, for nobody could tell which
one counts.
No error repeats what may be secret.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
from psycopg.conninfo import conninfo_to_dict

from relay.configuration import secret_file
from relay.errors import SettingsError

FILE = "_FILE"

DATABASE_URL = "DATABASE_URL"

ALLOWED_URL = "postgresql://user:password@host:5432/database, special characters percent-encoded"

_DRIVER = re.compile(r"(postgresql(\+[a-z0-9]+)?|postgres)://")
"""How a URL begins, libpq's or SQLAlchemy's, which names a driver."""


def read(environ: Mapping[str, str], variable: str) -> str | None:
    """Read a variable, or the file that it names; None when neither is set. An empty one counts as not set.

    Raises:
        SettingsError: both are set, or the file cannot be read or may be read by everybody.
    """
    value, path = environ.get(variable) or None, environ.get(variable + FILE)
    if not path:
        return value
    if value is not None:
        raise SettingsError(f"{variable} and {variable}{FILE} are both set; one of them must go")
    return secret_file.read(Path(path), variable + FILE)


def database_url(environ: Mapping[str, str]) -> str:
    """Read `DATABASE_URL`, or the file that `DATABASE_URL_FILE` names, as libpq takes it.

    Raises:
        SettingsError: it is not set, set twice, or no address of a PostgreSQL.
    """
    given = read(environ, DATABASE_URL)
    if given is None:
        raise SettingsError(f"{DATABASE_URL} is not set; expected: {ALLOWED_URL}")
    return libpq_url(given)


def libpq_url(url: str) -> str:
    """Turn a URL as SQLAlchemy writes it into one as libpq reads it, and refuse what is neither.

    Raises:
        SettingsError: it is no address of a PostgreSQL. The text shows no part of it: there may be a password in it.
    """
    if found := _DRIVER.match(url):
        plain = f"postgresql://{url[found.end() :]}"
        try:
            urlsplit(plain)
            conninfo_to_dict(plain)
        except (psycopg.ProgrammingError, ValueError):
            pass  # their own words would quote it
        else:
            return plain
    raise SettingsError(f"{DATABASE_URL} is not what it should be; allowed: {ALLOWED_URL}")


def where(url: str) -> str:
    """Name the place that a libpq URL points at, without its password."""
    parts = conninfo_to_dict(url)
    return f"{parts.get('host', 'localhost')}:{parts.get('port', 5432)}/{parts.get('dbname', '')}"
