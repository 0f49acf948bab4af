"""Settings of workers: every mistake is told by the name of its variable, and no secret is."""

import tomllib
from pathlib import Path

import pytest

from app_integration.contracts.topics import CONSUMED, relay_toml
from app_integration.workers.settings import Settings, SmtpSettings, WebhookSettings
from relay.configuration import duration
from relay.errors import SettingsError

ENOUGH = {"DATABASE_URL": "postgresql://w:geheim@db/shop", "KAFKA_BROKERS": "kafka:9092"}


def problems(model: type[Settings | SmtpSettings | WebhookSettings] = Settings, **environ: str) -> str:
    with pytest.raises(SettingsError) as caught:
        model.load(environ)
    assert "geheim" not in str(caught.value)
    return str(caught.value)


def test_what_must_be_set_is_named_all_at_once() -> None:
    told = problems()
    assert "DATABASE_URL is not set" in told
    assert "KAFKA_BROKERS is not set" in told
    assert "SMTP_HOST is not set" in problems(SmtpSettings)
    assert "WORKER_WEBHOOK_RETENTION is 'ever'" in problems(WebhookSettings, WORKER_WEBHOOK_RETENTION="ever")


@pytest.mark.parametrize(
    ("variable", "value", "told"),
    [
        ("DATABASE_URL", "mysql://w:geheim@db", "DATABASE_URL is not what it should be; allowed: postgresql://"),
        ("KAFKA_BROKERS", "a, b", "KAFKA_BROKERS is 'a, b'"),
        ("WORKER_METRICS_PORT", "http", "WORKER_METRICS_PORT is 'http'; allowed: a port"),
        ("WORKER_RETENTION", "long", "WORKER_RETENTION is 'long'; allowed: a whole number"),
        ("WORKER_GROUP_PREFIX", "a b", "WORKER_GROUP_PREFIX is 'a b'"),
        ("WORKER_TYPO", "1", "WORKER_TYPO is no setting; known are"),
        ("WORKER_KAFKA_ENABLE_AUTO_OFFSET_STORE", "true", "guards a promise"),
        ("WORKER_KAFKA_GROUP_ID", "x", "guards a promise"),
        ("WORKER_CONTRACTS", "a b", "WORKER_CONTRACTS is 'a b'"),
    ],
)
def test_a_mistake_is_told_with_what_is_allowed(variable: str, value: str, told: str) -> None:
    assert told in problems(Settings, **{**ENOUGH, variable: value})


def test_inbox_remembers_longer_than_kafka_keeps_what_workers_consume() -> None:
    """Else a group that Kafka has forgotten would append entries to the audit log twice."""
    topics = tomllib.loads(relay_toml())["topics"]
    # Kafka deletes whole segments: the oldest message of one stays as long as the newest.
    kept = [topics[topic]["config"]["retention.ms"] + topics[topic]["config"]["segment.ms"] for topic in CONSUMED]
    assert duration.seconds(Settings.load(ENOUGH).retention) * 1000 > max(kept)


def test_properties_of_the_client_are_set_by_variables() -> None:
    kubernetes = {"WORKER_SERVICE_HOST": "10.0.0.1", "WORKER_PORT": "tcp://10.0.0.1:80"}
    settings = Settings.load({**ENOUGH, **kubernetes, "WORKER_KAFKA_SASL_USERNAME": "w"})
    assert settings.properties == {"sasl.username": "w", "bootstrap.servers": "kafka:9092"}


def test_a_secret_may_stand_in_a_file(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text("geheim\n")
    file.chmod(0o600)
    given = {"SMTP_HOST": "mail", "SMTP_FROM": "a@example.com", "SMTP_PASSWORD_FILE": str(file)}
    settings = SmtpSettings.load(given)
    assert settings.password == "geheim"
    assert "geheim" not in repr(settings)
    assert "are both set" in problems(SmtpSettings, **given, SMTP_PASSWORD="geheim2")
    assert "cannot be read" in problems(SmtpSettings, **{**given, "SMTP_PASSWORD_FILE": str(tmp_path / "none")})
    kafka = Settings.load({**ENOUGH, "WORKER_KAFKA_SASL_PASSWORD_FILE": str(file)})
    assert kafka.kafka == {"sasl.password": "geheim"}
    assert "geheim" not in repr(kafka)
