"""What of the settings must never be seen: found by name, so that what is logged can be searched for it. Pure."""

from collections.abc import Iterator
from urllib.parse import quote

from psycopg.conninfo import conninfo_to_dict

from relay.configuration.settings import Settings

TELLING = ("password", "secret", "passphrase", ".pem", "oauthbearer.config")
"""What the names of librdkafka properties have in them whose values are secrets (its CONFIGURATION.md)."""


def secrets_of(settings: Settings) -> list[str]:
    """List the passwords and keys in the settings, in each form in which they might be shown."""
    return [secret for secret in dict.fromkeys((*_of_database(settings.database_url), *_of_kafka(settings))) if secret]


def _of_database(url: str) -> Iterator[str]:
    parts = conninfo_to_dict(url) if url else {}
    for name in ("password", "sslpassword"):
        if found := str(parts.get(name) or ""):
            yield found
            yield quote(found, safe="")
            # As it was written, whichever characters were encoded there.
            yield url.partition("://")[2].partition("@")[0].partition(":")[2]


def _of_kafka(settings: Settings) -> Iterator[str]:
    for name, value in settings.kafka.items():
        if any(telling in name for telling in TELLING):
            yield value
            # A key is many lines, and one of them alone may be quoted.
            yield from (line for line in value.splitlines() if len(line) > 20)  # noqa: PLR2004 - the frame is shorter
