"""What can be set, all of it by environment variables; errors name the variable and never show a secret."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from app_integration.tokens import load_secret
from app_integration.variables import database_url
from relay.errors import SettingsError


@dataclass(frozen=True, slots=True)
class Settings:
    """The application's settings.

    Args:
        database_url: `DATABASE_URL`, or the content of the file `DATABASE_URL_FILE`: the database that has the outbox.
        jwt_secret: `JWT_SECRET`, or the content of the file `JWT_SECRET_FILE`.
        page: `EDU_MATRIX_PAGE`, whether `/api/kafka-example` is there. It shows every message, and lets anybody replay
            and discard: for a machine of one's own.
        pool_size: `EDU_MATRIX_POOL`, connections to PostgreSQL; a purchase keeps one while the provider is asked.
    """

    database_url: str = field(repr=False)
    jwt_secret: str = field(repr=False)
    page: bool = False
    pool_size: int = 20


def load(environ: Mapping[str, str]) -> Settings:
    """Read the settings.

    Raises:
        SettingsError: one is missing or cannot be.
    """
    page, pool = environ.get("EDU_MATRIX_PAGE", "0"), environ.get("EDU_MATRIX_POOL", "20")
    if page not in {"0", "1"}:
        raise SettingsError(f"EDU_MATRIX_PAGE is {page!r}; allowed are 0 and 1")
    if not pool.isdecimal() or not 1 <= int(pool) <= 1_000:  # noqa: PLR2004 - more than PostgreSQL has by default
        raise SettingsError(f"EDU_MATRIX_POOL is {pool!r}; allowed is a whole number from 1 to 1000")
    return Settings(database_url(environ), load_secret(environ), page == "1", int(pool))
