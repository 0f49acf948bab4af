"""A secret's file is read whole and again, and refused where it is none; what is in it is never said."""

import re
from pathlib import Path

import pytest

from relay.configuration.loading import load, renewed
from relay.configuration.secret_file import KAFKA_SECRETS
from relay.configuration.settings import Topic
from relay.errors import SettingsError

URL = "postgresql://relay:geheim@db/shop"
BROKERS = {"KAFKA_BROKERS": "k:9092"}


def secret(path: Path, text: str, mode: int = 0o640) -> str:
    path.write_text(text)
    path.chmod(mode)
    return str(path)


def test_secrets_come_from_files_and_are_read_again(tmp_path: Path) -> None:
    url, password = secret(tmp_path / "url", f"{URL}\n"), secret(tmp_path / "password", "eins")
    settings = load({**BROKERS, "DATABASE_URL_FILE": url, "RELAY_KAFKA_SASL_PASSWORD_FILE": password})
    assert (settings.database_url, settings.kafka["sasl.password"]) == (URL, "eins")
    assert "geheim" not in repr(settings)
    secret(tmp_path / "url", URL.replace("geheim", "neu"))
    secret(tmp_path / "password", "zwei\r\n")
    again = renewed(settings)
    assert (again.database_url, again.kafka["sasl.password"]) == (URL.replace("geheim", "neu"), "zwei")
    assert settings.kafka["sasl.password"] == "eins"


def test_a_settings_file_may_name_them_too(tmp_path: Path) -> None:
    url, password = secret(tmp_path / "url", URL), secret(tmp_path / "password", "eins")
    toml = tmp_path / "relay.toml"
    toml.write_text(f'[relay]\ndatabase_url_file = "{url}"\n[kafka]\nsasl.password_file = "{password}"\n')
    settings = load(BROKERS, config_file=toml)
    assert (settings.database_url, settings.kafka["sasl.password"]) == (URL, "eins")
    # The environment beats the file, whichever way either gives it; then the file is not read again.
    settings = load({**BROKERS, "DATABASE_URL": "postgresql://other/shop"}, config_file=toml)
    assert renewed(settings).database_url == "postgresql://other/shop"


@pytest.mark.parametrize(
    ("variable", "value"), [("DATABASE_URL", URL), ("RELAY_DATABASE_URL", URL), ("RELAY_KAFKA_SASL_PASSWORD", "geheim")]
)
def test_a_value_and_its_file_exclude_each_other(variable: str, value: str, tmp_path: Path) -> None:
    with pytest.raises(SettingsError) as refusal:
        load({"DATABASE_URL": URL, **BROKERS, variable: value, f"{variable}_FILE": secret(tmp_path / "s", value)})
    assert f"{variable}_FILE and {variable} are both given" in str(refusal.value)
    assert "geheim" not in str(refusal.value)


def test_a_more_special_name_wins_as_ever(tmp_path: Path) -> None:
    plain = secret(tmp_path / "plain", URL)
    settings = load({**BROKERS, "DATABASE_URL_FILE": plain, "RELAY_DATABASE_URL": "postgresql://mine/shop"})
    assert renewed(settings).database_url == "postgresql://mine/shop"


@pytest.mark.parametrize(
    ("text", "mode", "said"),
    [
        ("", 0o600, "is empty"),
        (" \n", 0o600, "is empty"),
        (URL, 0o644, "may be read by every user of this machine (mode 0644)"),
        ("mysql://u:geheim@h/d", 0o600, "allowed: postgresql://"),
        ("x" * 1_000_001, 0o600, "too many for a secret"),
    ],
)
def test_a_file_that_is_no_secret_is_refused_without_what_is_in_it(
    text: str, mode: int, said: str, tmp_path: Path
) -> None:
    with pytest.raises(SettingsError) as refusal:
        load({**BROKERS, "DATABASE_URL_FILE": secret(tmp_path / "url", text, mode)})
    assert said in str(refusal.value)
    assert "DATABASE_URL_FILE" in str(refusal.value)
    assert "geheim" not in str(refusal.value)


@pytest.mark.parametrize(
    ("path", "said"), [("missing", "cannot be read"), (".", "is not a file"), ("/dev/zero", "is not a file")]
)
def test_what_is_no_file_is_refused(path: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=said):
        load({**BROKERS, "DATABASE_URL_FILE": str(tmp_path / path)})


def test_only_secrets_may_stand_in_files() -> None:
    with pytest.raises(SettingsError) as refusal:
        load({"DATABASE_URL": URL, **BROKERS, "RELAY_PAGE_ROWS_FILE": "/x"})
    assert "RELAY_PAGE_ROWS_FILE is not a variable that the relay knows" in str(refusal.value)


def test_docs_say_what_a_running_relay_takes_without_a_restart(tmp_path: Path) -> None:
    """All that can stand in a file is read anew, and nothing else is; the docs name each in its line."""
    files = {name: secret(tmp_path / name, f"{name} one") for name in KAFKA_SECRETS}
    url = secret(tmp_path / "database_url", URL)
    toml = tmp_path / "relay.toml"
    kafka = "".join(f'"{name}_file" = "{path}"\n' for name, path in files.items())
    toml.write_text(f'[relay]\ndatabase_url_file = "{url}"\npage_rows = 5\n[kafka]\n{kafka}[topics.orders]\nrate = 5\n')
    before = load(BROKERS, config_file=toml)
    for name in KAFKA_SECRETS:
        secret(tmp_path / name, f"{name} two")
    secret(tmp_path / "database_url", URL.replace("geheim", "neu"))
    toml.write_text("")
    after = renewed(before)
    assert {name for name in type(before).model_fields if getattr(before, name) != getattr(after, name)} == {
        "database_url",
        "kafka",
    }
    assert dict(after.kafka) == {name: f"{name} two" for name in KAFKA_SECRETS}
    docs = (Path(__file__).parents[2] / "docs" / "settings.md").read_text(encoding="utf-8")
    named, _, rules = docs.partition("## Secrets in files")[2].partition("## What needs a restart")
    rules = rules.partition("\n## ")[0]
    assert all(f"`{name}`" in named or f"`{name}_file`" in named for name in KAFKA_SECRETS)
    of_topics = [line for line in rules.splitlines() if line.startswith("| `[topics.<name>]`")]
    listed = [re.findall(r"`(\w+)`", line.split("|")[1]) for line in of_topics]
    assert sorted(listed[0] + listed[1]) == sorted(Topic.model_fields)
    assert set(listed[1]) == {"partitions", "replication", "config"}
