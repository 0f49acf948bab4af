"""No password is in anything that the relay says, whatever goes wrong: in its output, its log and its pages."""

import json
from collections.abc import Mapping
from itertools import cycle
from types import MappingProxyType

import psycopg
import pytest

from tests.command import relay
from tests.faults.world import World, wait_until
from tests.integration.test_http_port import ask, url_of

PASSWORD, KAFKA_PASSWORD = "geheim/wort@eins", "kafkas geheim=zwei"
WRITTEN = "geheim%2Fwort%40eins"
PARTS = ("geheim", "wort", "eins", "zwei")

SASL: Mapping[str, str] = MappingProxyType(
    {
        "RELAY_KAFKA_SECURITY_PROTOCOL": "SASL_PLAINTEXT",
        "RELAY_KAFKA_SASL_MECHANISM": "PLAIN",
        "RELAY_KAFKA_SASL_USERNAME": "relay",
        "RELAY_KAFKA_SASL_PASSWORD": KAFKA_PASSWORD,
    }
)


def with_password(url: str, user: str = "postgres") -> str:
    """The same place, with a password that it does not ask for."""
    return f"postgresql://{user}:{WRITTEN}@{url.partition('@')[2]}"


CASES: Mapping[str, dict[str, str]] = {
    "nobody answers": {"DATABASE_URL": f"postgresql://app:{WRITTEN}@127.0.0.1:1/shop"},
    "no such role": {"DATABASE_URL": "role"},
    "no such database": {"DATABASE_URL": "database"},
    "malformed": {"DATABASE_URL": f"postgresql://app:{WRITTEN}@[half/shop"},
    "of another kind": {"DATABASE_URL": f"mysql://app:{WRITTEN}@h/shop"},
    "with a bare slash": {"DATABASE_URL": f"postgresql://app:{PASSWORD}@h/shop"},
    "with an unknown parameter": {"DATABASE_URL": f"postgresql://app:{WRITTEN}@h/shop?passwort={WRITTEN}"},
    "with a wrong mechanism": {"RELAY_KAFKA_SASL_MECHANISM": "SCRAM-SHA-1024"},
    "with a wrong property": {"RELAY_KAFKA_SASL_PASWORD": KAFKA_PASSWORD},
    "kafka does not speak so": {},
}


@pytest.mark.parametrize(("case", "form"), list(zip(CASES, cycle(("console", "json")), strict=False)))
def test_no_password_is_told_when_the_start_fails(case: str, form: str, here: World) -> None:
    good = with_password(here.database_url)
    places = {"role": with_password(here.database_url, "nobody"), "database": f"{good}_not"}
    settings = {"DATABASE_URL": good, "KAFKA_BROKERS": here.brokers, "RELAY_LOG_FORMAT": form, **SASL, **CASES[case]}
    settings["DATABASE_URL"] = places.get(settings["DATABASE_URL"], settings["DATABASE_URL"])
    found = relay("run", "--wait", "0.1", **settings)
    assert found.returncode in (1, 2)
    assert found.stderr
    assert not any(part in found.stdout + found.stderr for part in PARTS), found.stderr


def test_no_password_is_told_by_a_running_relay_in_trouble(here: World) -> None:
    """Its sessions are ended, its measuring is refused, and at last its schema is taken away under it."""
    settings = {
        "DATABASE_URL": with_password(here.database_url),
        "RELAY_KAFKA_SSL_KEY_PASSWORD": KAFKA_PASSWORD,
        "RELAY_HTTP_PORT": "0",
        "RELAY_MEASURE_INTERVAL_SECONDS": "1",
        "RELAY_LOG_FORMAT": "json",
    }
    process = here.relay("one", **settings)
    url = url_of(process)
    pages = []
    with psycopg.connect(here.database_url, autocommit=True) as owner:
        wait_until(lambda: process.said("leases_changed"), 30)
        owner.execute("select pg_terminate_backend(pid) from pg_stat_activity where application_name ~ '^outbox-relay'")
        wait_until(lambda: process.said("interrupted"), 30)
        pages += [ask(f"{url}/{page}")[2] for page in ("readyz", "livez", "metrics")]
        owner.execute("alter view outbox.held_state rename to kept_state")
        wait_until(lambda: process.said("measuring the backlog"), 30)
        owner.execute("drop schema outbox cascade")
        wait_until(lambda: process.said("there is no outbox schema"), 30)
        pages.append(ask(f"{url}/readyz")[2])
    assert process.terminate() == 0
    said = process.log.read_text()
    for line in said.splitlines():
        assert line.startswith("relay: ") or json.loads(line)["event"]
    assert not any(part in text for part in PARTS for text in (said, *pages))
