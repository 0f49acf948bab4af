"""The way to PostgreSQL: one engine for the process, sessions that never expire what they have read, bounded waits."""

from sqlalchemy import URL, make_url
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker, create_async_engine

from app_integration.variables import libpq_url

Sessions = async_sessionmaker[AsyncSession]

LOCK_TIMEOUT = "15s"
"""How long a request waits for a user's row: as long as the provider may take for the purchase before it."""


def sqlalchemy_url(database_url: str) -> URL:
    """Read a URL, whatever driver it names: ours is psycopg.

    Raises:
        SettingsError: it is none. It is not repeated, for there may be a password in it.
    """
    return make_url(libpq_url(database_url)).set(drivername="postgresql+psycopg")


def connect(database_url: str, *, pool_size: int = 20) -> AsyncEngine:
    """Make the engine; it connects when it is first needed.

    A purchase keeps its connection while the provider is asked, so the pool is the number of purchases at a time.
    """
    return create_async_engine(
        sqlalchemy_url(database_url),
        pool_size=pool_size,
        max_overflow=0,
        pool_timeout=10,
        pool_pre_ping=True,
        hide_parameters=True,  # an error in the log shows no address and no hash
        connect_args={
            "connect_timeout": 5,
            "application_name": "edu-matrix",
            # Of what a dead process leaves the server should hear soon: its locks would keep a user waiting.
            "options": f"-c lock_timeout={LOCK_TIMEOUT} -c client_connection_check_interval=1s",
        },
    )


def sessions_of(engine: AsyncEngine) -> Sessions:
    """Make what requests open their sessions with."""
    return async_sessionmaker(engine, expire_on_commit=False)
