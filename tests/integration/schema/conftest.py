"""The project's fixtures once more, on the oldest and on the newest PostgreSQL that can be had here.

Each test of this folder runs on both: the schema must be the same wherever it is made.
"""

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from relay import migrate
from relay.local.postgres import Postgres, installed_binaries, wheel_binaries
from tests import services

FOUND = {**wheel_binaries(), **installed_binaries()}
VERSIONS = sorted({min(FOUND), max(FOUND)})
SETTINGS = {"fsync": "off", "max_prepared_transactions": "5"}


@pytest.fixture(scope="session", params=VERSIONS, ids=lambda version: f"postgresql-{version}")
def binaries(request: pytest.FixtureRequest) -> Path:
    return FOUND[request.param]


@pytest.fixture(scope="session")
def postgres(binaries: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postgres]:
    with (
        services.failing_plainly(),
        Postgres(tmp_path_factory.mktemp("postgres"), binaries, SETTINGS) as server,
    ):
        yield server


@pytest.fixture(scope="session")
def migrated(postgres: Postgres) -> str:
    name = services.create_database(postgres)
    migrate.upgrade(postgres.url(name))
    return name


@pytest.fixture
def empty_database(postgres: Postgres) -> Iterator[str]:
    name = services.create_database(postgres)
    yield postgres.url(name)
    services.drop_database(postgres, name)


@pytest.fixture
def database(postgres: Postgres, migrated: str) -> Iterator[str]:
    name = services.create_database(postgres, migrated)
    yield postgres.url(name)
    services.drop_database(postgres, name)


@pytest.fixture
def session(database: str) -> Iterator["psycopg.Connection"]:
    with psycopg.connect(database, autocommit=True) as connection:
        yield connection


@pytest.fixture(scope="session")
def shared(postgres: Postgres, migrated: str) -> str:
    return postgres.url(services.create_database(postgres, migrated))


@pytest.fixture
def trial(shared: str) -> Iterator["psycopg.Connection"]:
    """A session in a transaction that is rolled back: for single statements, without the cost of a database."""
    with psycopg.connect(shared) as connection:
        yield connection
        connection.rollback()
