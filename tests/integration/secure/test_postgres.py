"""PostgreSQL over TLS: the relay checks whom it talks to, says what is wrong with it, and takes a rotated password."""

import json
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from relay.configuration.loading import load, renewed
from tests.certificates import Authority
from tests.command import relay
from tests.faults.world import wait_until
from tests.integration.secure.conftest import SecurePostgres
from tests.secure import PASSWORD

NOWHERE = "127.0.0.1:1"


def doctor(url: str) -> dict[str, dict[str, str]]:
    found = relay("doctor", "--json", DATABASE_URL=url, KAFKA_BROKERS=NOWHERE)
    assert PASSWORD not in found.stdout + found.stderr
    assert "guessed" not in found.stdout + found.stderr
    return {finding["check"]: finding for finding in json.loads(found.stdout)["findings"]}


def test_a_relay_works_over_a_connection_that_it_has_verified(
    secure_postgres: SecurePostgres, secure_database: str
) -> None:
    found = doctor(secure_postgres.url(secure_database))
    assert (found["database"]["level"], found["rights"]["level"]) == ("ok", "ok")


def test_who_is_not_whom_the_relay_trusts_is_told(
    secure_postgres: SecurePostgres, secure_database: str, tmp_path: Path
) -> None:
    url = secure_postgres.url(secure_database)
    others = Authority(tmp_path, "others").certificate
    plain = f"postgresql://relay:{PASSWORD}@localhost:{secure_postgres.server.port}/{secure_database}"
    cases = {
        url.replace(str(secure_postgres.authority), str(others)): ("certificate verify failed", "check sslrootcert"),
        secure_postgres.url(secure_database, host="db.example.org") + "&hostaddr=127.0.0.1": (
            "does not match host name",
            "name the server in DATABASE_URL as its certificate does",
        ),
        url.replace(str(secure_postgres.authority), "/nowhere/ca.pem"): ("/nowhere/ca.pem", "sslrootcert"),
        secure_postgres.url(secure_database, password="guessed"): ("password authentication failed", ""),
        f"{plain}?sslmode=disable": ("no pg_hba", ""),
    }
    for wrong, (words, mend) in cases.items():
        finding = doctor(wrong)["database"]
        assert finding["level"] == "problem", finding
        assert words in finding["found"], finding
        assert mend in finding["mend"], finding


def test_certificate_that_has_expired_is_told_and_its_successor_is_taken(
    secure_postgres: SecurePostgres, secure_database: str
) -> None:
    url = secure_postgres.url(secure_database)
    secure_postgres.show("expired")
    try:
        wait_until(lambda: doctor(url)["database"]["level"] == "problem", 30)
        finding = doctor(url)["database"]
        assert ("certificate has expired" in finding["found"], finding["mend"]) == (True, "renew it on the server")
        at_start = relay("run", "--wait", "60", DATABASE_URL=url, KAFKA_BROKERS=NOWHERE)
        assert (at_start.returncode, "certificate has expired" in at_start.stderr) == (2, True)
    finally:
        secure_postgres.show("good")
    wait_until(lambda: doctor(url)["database"]["level"] == "ok", 30)


@pytest.mark.parametrize(
    ("mode", "said"),
    [(0o644, "may be read by every user of this machine (mode 0644)"), (None, "cannot be read: No such")],
)
@pytest.mark.parametrize("command", ["run", "status", "doctor"])
def test_secret_file_that_is_missing_or_no_secret_is_refused_by_every_command(
    command: str, mode: int | None, said: str, tmp_path: Path
) -> None:
    file = tmp_path / "url"
    if mode is not None:
        file.write_text(f"postgresql://relay:{PASSWORD}@localhost/shop")
        file.chmod(mode)
    done = relay(command, DATABASE_URL_FILE=str(file), KAFKA_BROKERS=NOWHERE)
    assert done.returncode == 2
    assert said in done.stderr
    assert PASSWORD not in done.stderr + done.stdout


def test_a_rotated_password_is_taken_from_its_file(
    secure_postgres: SecurePostgres, secure_database: str, tmp_path: Path
) -> None:
    file = tmp_path / "url"
    file.touch(mode=0o600)
    file.write_text(secure_postgres.url(secure_database))
    settings = load({"DATABASE_URL_FILE": str(file), "KAFKA_BROKERS": NOWHERE})
    with psycopg.connect(secure_postgres.server.url(), autocommit=True) as administrator:
        change = sql.SQL("alter role relay password {}")
        administrator.execute(change.format("rotated"))
        try:
            file.write_text(secure_postgres.url(secure_database, password="rotated"))
            with pytest.raises(psycopg.OperationalError):
                psycopg.connect(settings.database_url)
            psycopg.connect(renewed(settings).database_url).close()
        finally:
            administrator.execute(change.format(PASSWORD))
