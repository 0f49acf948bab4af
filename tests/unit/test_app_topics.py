"""The topics that an application knows, given or read from the relay's own file."""

from pathlib import Path
from typing import Any

import pytest

from app_integration import ConfigurationError, Outbox, Topic
from app_integration.topics import read_topics

RELAY_TOML = """
[relay]
strict_topics = true
[topics.payments]
name = "prod.payments.v1"
config = { "max.message.bytes" = "2000000" }
[topics.audit.config]
"max.message.bytes" = 5000
[topics.plain]
partitions = 3
"""


def test_topics_are_read_from_the_relays_own_file(tmp_path: Path) -> None:
    file = tmp_path / "relay.toml"
    file.write_text(RELAY_TOML)
    topics = read_topics(file)
    assert topics.strict
    assert topics.known == {"payments": Topic(2_000_000), "audit": Topic(5_000), "plain": Topic()}


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("[relay", "cannot be read as TOML"),
        ('[relay]\nstrict_topics = "yes"', "relay.strict_topics is 'yes'"),
        ("topics = 1", "topics is 1"),
        ("[topics]\npayments = 1", "payments is 1"),
        ("[topics.payments]\nconfig = 1", "config is 1"),
        ('[topics.payments.config]\n"max.message.bytes" = "big"', 'topics.payments.config."max.message.bytes"'),
        ('[topics.payments.config]\n"max.message.bytes" = 0', "is 0"),
        ('[topics."a b"]', "'a b'"),
    ],
)
def test_a_malformed_file_is_refused_by_the_name_of_what_is_wrong(tmp_path: Path, text: str, named: str) -> None:
    file = tmp_path / "relay.toml"
    file.write_text(text)
    with pytest.raises(ConfigurationError) as caught:
        Outbox.from_file(file)
    assert named in str(caught.value)


def test_a_missing_file_is_refused_by_its_path(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"nowhere\.toml: cannot be read"):
        Outbox.from_file(tmp_path / "nowhere.toml")


@pytest.mark.parametrize("limit", [0, -1, 1.5, "1", None, True])
def test_a_limit_that_is_no_number_of_bytes_is_refused(limit: Any) -> None:
    with pytest.raises(ConfigurationError, match="max_message_bytes"):
        Topic(max_message_bytes=limit)


def test_a_topic_that_kafka_does_not_take_cannot_be_configured() -> None:
    with pytest.raises(ConfigurationError, match="'a b'"):
        Outbox({"a b": Topic()})
