"""Workers, real-time servers and the example read secrets and the database's address in one way, and tell no secret."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer

from app_integration.example import settings as example
from app_integration.kafka_variables import judged_by_the_client
from app_integration.realtime import settings as realtime
from app_integration.variables import database_url, libpq_url, read, where
from app_integration.workers.settings import DatabaseSettings, SmtpSettings
from relay.errors import SettingsError

URL = "postgresql://u:geheim@localhost/x"
SECRET = "geheim" * 8

LOADED: dict[str, tuple[Callable[[Mapping[str, str]], Any], dict[str, str]]] = {
    "workers": (DatabaseSettings.load, {"DATABASE_URL": URL}),
    "mail": (SmtpSettings.load, {"SMTP_HOST": "mail", "SMTP_FROM": "a@example.com", "SMTP_PASSWORD": "geheim"}),
    "realtime": (
        realtime.from_environment,
        {
            "DATABASE_URL": URL,
            "KAFKA_BROKERS": "k:1",
            "JWT_SECRET": SECRET,
            "REALTIME_NAME": "a",
            "REALTIME_KAFKA_SASL_PASSWORD": "geheim",
        },
    ),
    "example": (example.load, {"DATABASE_URL": URL, "JWT_SECRET": SECRET}),
}

FILED = [
    ("workers", "DATABASE_URL"),
    ("mail", "SMTP_PASSWORD"),
    ("realtime", "DATABASE_URL"),
    ("realtime", "JWT_SECRET"),
    ("realtime", "REALTIME_KAFKA_SASL_PASSWORD"),
    ("example", "DATABASE_URL"),
    ("example", "JWT_SECRET"),
]


@pytest.mark.parametrize(("who", "variable"), FILED)
def test_a_secret_may_stand_in_a_file_of_ones_own_and_in_no_other_and_not_twice(
    who: str, variable: str, tmp_path: Path
) -> None:
    load, given = LOADED[who]
    file = tmp_path / "secret"
    file.write_text(given[variable] + "\n")
    filed = {**given, variable: "", f"{variable}_FILE": str(file)}
    file.chmod(0o600)
    found = load(filed)
    assert found == load(given)
    file.chmod(0o604)
    refusals = [filed, {**filed, variable: given[variable]}, {**filed, f"{variable}_FILE": str(tmp_path / "none")}]
    for environ, said in zip(refusals, ("every user of this machine", "are both set", "cannot be read"), strict=True):
        with pytest.raises(SettingsError, match=said) as refused:
            load(environ)
        assert f"{variable}_FILE" in str(refused.value)
        assert "geheim" not in str(refused.value)


@pytest.mark.parametrize("driver", ["postgresql", "postgres", "postgresql+psycopg", "postgresql+asyncpg"])
def test_an_address_is_read_as_libpq_and_as_sqlalchemy_write_it(driver: str) -> None:
    assert database_url({"DATABASE_URL": f"{driver}://u:geheim@h:1/x"}) == "postgresql://u:geheim@h:1/x"
    assert where("postgresql://u:geheim@h:1/x") == "h:1/x"


@pytest.mark.parametrize(
    "url", ["geheim", "mysql://u:geheim@h/x", "postgresql://[geheim", "postgresql+://u:geheim@h/x"]
)
def test_what_is_no_address_is_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(SettingsError, match="DATABASE_URL is not what it should be") as refused:
        libpq_url(url)
    assert "geheim" not in str(refused.value)


def test_an_empty_variable_counts_as_not_set() -> None:
    assert read({"X": "", "X_FILE": ""}, "X") is None
    with pytest.raises(SettingsError, match="DATABASE_URL is not set; expected: postgresql://"):
        database_url({"DATABASE_URL": ""})


def test_a_property_that_the_client_does_not_know_is_told_by_its_variables() -> None:
    with pytest.raises(SettingsError, match="REALTIME_KAFKA_…: No such configuration property"):
        with judged_by_the_client("REALTIME_KAFKA_"):
            Producer({"lingr.ms": "1"})
