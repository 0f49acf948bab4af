from urllib.parse import urlsplit

import pytest
from psycopg.conninfo import conninfo_to_dict

from relay.local.database import beside


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://app:p%40ss@db:5433/shop?application_name=a%20b",
        "postgresql://db/shop?dbname=shop&options=-c%20search_path%3Da",
        "postgresql://db?dbname=shop",
        "postgresql:///shop?host=/var/run/postgresql&dbname=other",
        "postgresql://one:1,other:2/shop?target_session_attrs=any",
        "postgresql://[::1]:5433/shop",
    ],
)
def test_another_database_is_on_the_same_server_and_never_the_one_that_was_named(url: str) -> None:
    before, after = conninfo_to_dict(url), conninfo_to_dict(beside(url, "own"))
    assert after == {**before, "dbname": "own"}
    assert urlsplit(beside(url, "own")).scheme == "postgresql"
