"""What is decided before a database is asked: the address, the number of shards, the printed script."""

import traceback

import pytest

from relay import migrate, migrate_session
from relay.errors import DatabaseUnreachable, SettingsError, UserMistake
from relay.local.process import free_port

SECRET = "correct-horse"


@pytest.mark.parametrize(
    ("given", "read"),
    [
        ("postgresql://shop@db/shop", "postgresql://shop@db/shop"),
        ("postgresql+psycopg://shop@db/shop", "postgresql://shop@db/shop"),
        ("postgres://shop@db/shop", "postgresql://shop@db/shop"),
        ("postgresql://shop@db1,db2/shop?target_session_attrs=primary",) * 2,
        ("host=db dbname=shop",) * 2,
        (" postgresql://db/shop\n", "postgresql://db/shop"),
    ],
)
def test_address_is_read_as_libpq_and_as_sqlalchemy_write_it(given: str, read: str) -> None:
    assert migrate_session.libpq_url(given) == read


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("", "DATABASE_URL is not set"),
        (f"mysql://shop:{SECRET}@db/shop", "begins with mysql://; allowed are postgresql://"),
        (f"postgresql+asyncpg://shop:{SECRET}@db/shop", r"begins with postgresql\+asyncpg://; allowed are"),
        (f"postgresql://shop:{SECRET}@db:54x2/shop?no=such", "cannot be read as a PostgreSQL address"),
        (f"password={SECRET} hots=db", "cannot be read as a PostgreSQL address"),
    ],
)
def test_wrong_address_is_refused_without_its_password(given: str, words: str) -> None:
    with pytest.raises(SettingsError, match=words) as refusal:
        migrate.upgrade(given)
    assert SECRET not in "".join(traceback.format_exception(refusal.value))


def test_silent_database_is_named_without_its_password() -> None:
    port = free_port()
    with pytest.raises(DatabaseUnreachable, match=rf"127\.0\.0\.1:{port}/shop does not answer") as failure:
        migrate.upgrade(f"postgresql://shop:{SECRET}@127.0.0.1:{port}/shop")
    assert SECRET not in "".join(traceback.format_exception(failure.value))


@pytest.mark.parametrize("shards", [0, 257, -1])
def test_impossible_number_of_shards_is_refused_before_anything_is_asked(shards: int) -> None:
    with pytest.raises(SettingsError, match=f"shards is {shards}: allowed are 1 to 256"):
        migrate.sql(shards)


def test_script_is_one_transaction_with_its_number_of_shards_in_it() -> None:
    script = migrate.sql(shards=4)
    assert script.startswith("BEGIN;")
    assert script.rstrip().endswith("COMMIT;")
    assert "return 4::smallint" in script
    assert "% 4)::smallint" in script
    assert "{shards}" not in script


def test_script_waits_for_its_turn_before_it_makes_anything() -> None:
    script = migrate.sql()
    assert script.index("pg_advisory_xact_lock") < script.index("create schema") < script.index("create table")


def test_unknown_revision_is_named() -> None:
    with pytest.raises(UserMistake, match="0815"):
        migrate.sql(to="0815")
