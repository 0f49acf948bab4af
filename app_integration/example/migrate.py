"""Brings the application's schema to this version: whole or not at all, one operator at a time."""

from collections.abc import Callable
from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import create_engine
from sqlalchemy.pool import NullPool

from app_integration.example.database import sqlalchemy_url

TURN = """
-- take_turns: a second operator waits for the first, then finds nothing left to do
select pg_advisory_xact_lock(hashtextextended('edu_matrix.schema_version', 0))
"""


def upgrade(database_url: str) -> None:
    """Make the schema, or bring an older one up; where it is current nothing changes."""
    _run(database_url, command.upgrade, "head")


def downgrade(database_url: str) -> None:
    """Take the tables away, with all that is in them."""
    _run(database_url, command.downgrade, "base")


def _run(database_url: str, act: Callable[[Config, str], None], to: str) -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).with_name("migrations")).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    engine = create_engine(sqlalchemy_url(database_url), poolclass=NullPool)
    with engine.begin() as connection:
        connection.exec_driver_sql(TURN)
        config.attributes["connection"] = connection
        act(config, to)
