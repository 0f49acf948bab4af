import json
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from pydantic_core import PydanticUndefined

from relay.configuration import duration
from relay.configuration.kafka_properties import GUARDED, from_variable, unfit
from relay.configuration.loading import load
from relay.configuration.settings import FIELDS, Topic
from relay.errors import SettingsError
from relay.policy import OnFailure
from relay.publishing.producer import LOCKED

ENOUGH = {"DATABASE_URL": "postgresql://app:geheim@db/shop", "KAFKA_BROKERS": "kafka:9092"}


def refused(environ: dict[str, str], config_file: Path | None = None) -> list[str]:
    """Return the lines of the error that loading ends in."""
    with pytest.raises(SettingsError) as caught:
        load(ENOUGH | environ, config_file=config_file)
    return str(caught.value).splitlines()


@pytest.fixture
def toml(tmp_path: Path) -> Path:
    return tmp_path / "relay.toml"


def test_two_addresses_are_enough() -> None:
    settings = load(ENOUGH)
    assert settings.database_url == "postgresql://app:geheim@db/shop"
    assert settings.kafka_brokers == "kafka:9092"
    assert (settings.page_rows, settings.headers, settings.source, settings.doorbell) == (
        10_000,
        "cloudevents",
        "/outbox",
        True,
    )


def test_missing_addresses_are_both_named_with_an_example() -> None:
    with pytest.raises(SettingsError, match=r"DATABASE_URL is not set(.|\n)*KAFKA_BROKERS is not set"):
        load({})


def test_only_what_is_needed_must_be_set() -> None:
    assert load({"DATABASE_URL": "postgresql:///shop"}, needs=("database_url",)).kafka_brokers == ""


@pytest.mark.parametrize("scheme", ["postgresql", "postgresql+psycopg", "postgres"])
def test_database_url_is_normalised(scheme: str) -> None:
    assert load(ENOUGH | {"DATABASE_URL": f"{scheme}://u:p%40@h:5433/d"}).database_url == "postgresql://u:p%40@h:5433/d"


def test_several_servers_may_be_named() -> None:
    for url in ("postgresql://u@a,b/d", "postgresql://u@a:1,b:2/d?target_session_attrs=read-write"):
        assert load(ENOUGH | {"DATABASE_URL": url}).database_url == url


@pytest.mark.parametrize(
    "url", ["mysql://u:geheim@h/d", "geheim", "postgresql+asyncpg://u:geheim@h/d", "postgresql://u:geheim@[h/d"]
)
def test_wrong_database_url_is_refused_without_showing_the_password(url: str) -> None:
    (line,) = refused({"DATABASE_URL": url})
    assert line.startswith("DATABASE_URL is not what it should be; allowed: postgresql://")
    assert "geheim" not in line


def test_no_secret_is_in_the_repr() -> None:
    settings = load(ENOUGH | {"RELAY_KAFKA_SASL_PASSWORD": "auch-geheim"})
    assert "geheim" not in repr(settings)
    assert settings.kafka == {"sasl.password": "auch-geheim"}


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        load(ENOUGH).page_rows = 1


def test_environment_beats_file_and_file_beats_default(toml: Path) -> None:
    toml.write_text(
        '[relay]\npage_rows = 5\npage_bytes = 2048\n[kafka]\n"socket.timeout.ms" = 7\n"metadata.max.age.ms" = 1000\n'
    )
    settings = load(ENOUGH | {"RELAY_PAGE_ROWS": "6", "RELAY_KAFKA_SOCKET_TIMEOUT_MS": "8"}, config_file=toml)
    assert (settings.page_rows, settings.page_bytes, settings.checkpoint_messages) == (6, 2048, 20_000)
    assert settings.kafka == {"socket.timeout.ms": "8", "metadata.max.age.ms": "1000"}


def test_relay_variables_beat_those_shared_with_other_programs() -> None:
    assert load(ENOUGH | {"RELAY_KAFKA_BROKERS": "own:1"}).kafka_brokers == "own:1"


def test_relay_toml_of_the_working_directory_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("relay.toml").write_text('[relay]\nname = "here"\n')
    assert load(ENOUGH).name == "here"


def test_relay_config_names_the_file(toml: Path) -> None:
    toml.write_text('[relay]\nname = "there"\n')
    assert load(ENOUGH | {"RELAY_CONFIG": str(toml)}).name == "there"


def test_a_named_file_must_exist(toml: Path) -> None:
    assert refused({"RELAY_CONFIG": str(toml)}) == [
        f"the settings file {toml} cannot be read: No such file or directory"
    ]


def test_empty_variables_count_as_not_set() -> None:
    assert load(ENOUGH | {"RELAY_PAGE_ROWS": "", "RELAY_CONFIG": ""}).page_rows == 10_000


def test_variables_that_kubernetes_makes_are_no_mistake() -> None:
    load(
        ENOUGH
        | {
            "RELAY_SERVICE_HOST": "10.0.0.1",
            "RELAY_SERVICE_PORT_HTTP": "80",
            "RELAY_PORT": "tcp://10.0.0.1:80",
            "RELAY_PORT_80_TCP_ADDR": "10.0.0.1",
            "RELAY_KAFKA_UI_SERVICE_PORT": "80",
            "RELAY_HTTP_PORT": "tcp://10.0.0.1:9187",
        }
    )


def test_unknown_variable_is_refused_with_the_nearest_known_one() -> None:
    assert refused({"RELAY_PAGE_ROW": "1"}) == [
        "RELAY_PAGE_ROW is not a variable that the relay knows; did you mean RELAY_PAGE_ROWS?"
    ]
    assert refused({"RELAY_XYZ": "1"}) == ["RELAY_XYZ is not a variable that the relay knows"]


def test_unknown_keys_and_tables_are_refused_with_the_nearest_known_ones(toml: Path) -> None:
    toml.write_text("[relay]\npage_row = 1\n[topic.orders]\n[topics.orders]\npartition = 1\n")
    assert refused({}, toml) == [
        f"{toml}: topic is not a table that the relay knows; did you mean [topics]?",
        f"{toml}: [relay] page_row is not a setting that the relay knows; did you mean page_rows?",
        f"{toml}: [topics.orders] partition is not a topic's setting; did you mean partitions?",
    ]


@pytest.mark.parametrize(
    ("variable", "value", "allowed"),
    [
        ("RELAY_PAGE_ROWS", "many", "a whole number from 1 to 100000"),
        ("RELAY_PAGE_ROWS", "0", "a whole number from 1 to 100000"),
        ("RELAY_PAGE_BYTES", "1023", "a whole number from 1024 to 1073741824"),
        ("RELAY_POLL_INTERVAL_SECONDS", "0", "a number of seconds above 0, up to 60"),
        ("RELAY_POLL_INTERVAL_SECONDS", "nan", "a number of seconds above 0, up to 60"),
        ("RELAY_CHECKPOINT_INTERVAL_SECONDS", "inf", "a number of seconds from 0.05 to 5"),
        ("RELAY_DOORBELL", "maybe", "true or false"),
        ("RELAY_HEADERS", "all", '"cloudevents" or "id"'),
        ("RELAY_SOURCE", "a b", "a URI reference without spaces, of at most 100 characters"),
        ("RELAY_RETENTION", "7", duration.ALLOWED),
        ("RELAY_RETENTION", "-1d", duration.ALLOWED),
        ("RELAY_RETENTION", "3651d", duration.ALLOWED),
        ("RELAY_HTTP_PORT", "65536", "a whole number from 0 to 65535; 0 takes any that is free"),
        ("RELAY_HTTP_PORT", "http", "a whole number from 0 to 65535; 0 takes any that is free"),
        ("RELAY_HTTP_HOST", "a b", "an address or a name of this machine"),
        ("RELAY_LOG_FORMAT", "xml", '"console" or "json"'),
        ("RELAY_LOG_LEVEL", "debug", '"info", "warning" or "error"'),
        ("RELAY_MEASURE_INTERVAL_SECONDS", "0.5", "a number of seconds from 1 to 3600"),
        ("RELAY_DISK_BUDGET", "5", 'a whole number with MB, GB, TB, MiB, GiB or TiB, such as "200GB"'),
        ("RELAY_TRACING", "maybe", "true or false"),
        ("RELAY_NAME", "é", "1 to 50 printable ASCII characters without spaces"),
        ("KAFKA_BROKERS", "kafka:port", "host:port, several with commas"),
        ("KAFKA_BROKERS", "a:1,,b:2", "host:port, several with commas"),
    ],
)
def test_a_wrong_value_is_named_with_what_is_allowed(variable: str, value: str, allowed: str) -> None:
    assert refused({variable: value}) == [f"{variable} is {value!r}; allowed: {allowed}"]


def test_a_file_has_types_and_they_are_minded(toml: Path) -> None:
    toml.write_text('[relay]\npage_rows = true\ndoorbell = "yes"\nname = 3\nretention = 7\n')
    assert refused({}, toml) == [
        f"{toml}: [relay] name is 3; allowed: 1 to 50 printable ASCII characters without spaces",
        f"{toml}: [relay] doorbell is 'yes'; allowed: true or false",
        f"{toml}: [relay] page_rows is True; allowed: a whole number from 1 to 100000",
        f"{toml}: [relay] retention is 7; allowed: {duration.ALLOWED}",
    ]


def test_all_mistakes_are_told_at_once(toml: Path) -> None:
    toml.write_text("[relay]\npage_rows = 0\n[kafka]\nacks = 1\n")
    assert len(refused({"RELAY_DOORBELL": "x", "RELAY_TYPO": "1"}, toml)) == 4


def test_malformed_toml_is_named_with_its_line(toml: Path) -> None:
    toml.write_text("[relay]\npage_rows = \n")
    (line,) = refused({}, toml)
    assert line.startswith(f"{toml} is not TOML: ")
    assert "line 2" in line


def test_a_file_that_is_not_text_is_named(toml: Path) -> None:
    toml.write_bytes(b"[relay]\n# \xff\n")
    assert refused({}, toml) == [f"{toml} is not UTF-8 text: byte 10 is 0xff"]


def test_a_table_that_is_none_is_refused(toml: Path) -> None:
    toml.write_text("relay = 3\n")
    assert refused({}, toml) == [f"{toml}: relay is a number; allowed: a table, [relay]"]


@pytest.mark.parametrize("name", sorted(GUARDED))
def test_a_property_that_guards_a_promise_is_refused_by_name_with_the_reason(name: str, toml: Path) -> None:
    toml.write_text(f'[kafka]\n"{name}" = "1"\n')
    assert refused({}, toml) == [f"{toml}: [kafka] {name} guards a promise and may not be set: {GUARDED[name]}"]
    variable = f"RELAY_KAFKA_{name.upper().replace('.', '_')}"
    assert refused({variable: "1"}) == [f"{variable} guards a promise and may not be set: {GUARDED[name]}"]


def test_what_the_publisher_locks_is_refused() -> None:
    assert set(LOCKED) <= set(GUARDED)


@pytest.mark.parametrize("name", ["error_cb", "on_delivery", "test.mock.num.brokers"])
def test_callbacks_and_the_test_broker_are_refused(name: str, toml: Path) -> None:
    toml.write_text(f'[kafka]\n"{name}" = "1"\n')
    (line,) = refused({}, toml)
    assert line.startswith(f"{toml}: [kafka] {name} ")


def test_kafka_properties_may_be_written_with_dots_or_in_quotes(toml: Path) -> None:
    toml.write_text('[kafka]\nsecurity.protocol = "SSL"\n"ssl.ca.location" = "/ca"\nsocket.keepalive.enable = true\n')
    assert load(ENOUGH, config_file=toml).kafka == {
        "security.protocol": "SSL",
        "ssl.ca.location": "/ca",
        "socket.keepalive.enable": "true",
    }


def test_a_kafka_property_is_text_number_or_boolean(toml: Path) -> None:
    toml.write_text("[kafka]\nsocket.timeout.ms = [1]\n")
    assert refused({}, toml) == [f"{toml}: [kafka] socket.timeout.ms is a list; allowed: text, a number or a boolean"]


@pytest.mark.parametrize(
    ("variable", "name"), [("RELAY_KAFKA_SSL_CA_LOCATION", "ssl.ca.location"), ("RELAY_KAFKA_LOG_LEVEL", "log_level")]
)
def test_a_variable_names_its_kafka_property(variable: str, name: str) -> None:
    assert from_variable(variable) == name


def test_a_property_unknown_to_librdkafka_is_refused_with_the_nearest_known_one() -> None:
    assert str(unfit('No such configuration property: "lingr.ms"')) == (
        "[kafka] lingr.ms (or RELAY_KAFKA_LINGR_MS) is not a property that librdkafka knows; did you mean linger.ms?"
    )


def test_topics_come_from_the_file(toml: Path) -> None:
    toml.write_text(
        '[topics.orders]\nname = "shop.orders"\npartitions = 6\nreplication = 3\n'
        'config = { cleanup.policy = "compact", "retention.ms" = 5 }\n[topics."a.b"]\n'
    )
    assert load(ENOUGH, config_file=toml).topics == {
        "orders": Topic(
            name="shop.orders",
            partitions=6,
            replication=3,
            config={"cleanup.policy": "compact", "retention.ms": "5"},
        ),
        "a.b": Topic(name="a.b"),
    }


def test_topics_come_from_the_environment_and_beat_the_file(toml: Path) -> None:
    toml.write_text("[topics.orders]\npartitions = 6\n[topics.other]\n")
    topics = load(ENOUGH | {"RELAY_TOPICS": json.dumps({"orders": {"partitions": 7}})}, config_file=toml).topics
    assert topics == {"orders": Topic(name="orders", partitions=7), "other": Topic(name="other")}


def test_wrong_topics_of_the_environment_are_named() -> None:
    assert refused({"RELAY_TOPICS": "["})[0].startswith("RELAY_TOPICS is not JSON: ")
    assert refused({"RELAY_TOPICS": "[]"})[0].startswith("RELAY_TOPICS is a list; allowed: a JSON object")
    assert refused({"RELAY_TOPICS": '{"o": {"partitions": 0}}'}) == [
        "RELAY_TOPICS: o partitions is 0; allowed: a whole number of 1 or more"
    ]


@pytest.mark.parametrize("name", ["..", "a b", "ü", "x" * 250])
def test_a_name_that_kafka_does_not_allow_is_refused(name: str, toml: Path) -> None:
    toml.write_text(f'[topics.orders]\nname = "{name}"\n[topics."{name}"]\n', encoding="utf-8")
    allowed = "allowed: 1 to 249 letters, digits, dots, underscores and hyphens"
    assert refused({}, toml) == [
        f"{toml}: [topics.{name}] is not a topic's name; {allowed}",
        f"{toml}: [topics.orders] name is {name!r}; {allowed}",
    ]


@pytest.mark.parametrize("choice", OnFailure)
def test_a_topic_of_the_file_says_what_waits_behind_a_failure(toml: Path, choice: OnFailure) -> None:
    toml.write_text(f'[relay]\non_failure = "{choice}"\n[topics.orders]\non_failure = "{choice}"\n')
    settings = load(ENOUGH, config_file=toml)
    assert settings.on_failure is settings.topics["orders"].on_failure is choice


def test_a_logical_name_with_dots_without_quotes_is_explained(toml: Path) -> None:
    toml.write_text("[topics.shop.orders]\npartitions = 1\n")
    assert refused({}, toml) == [
        f'{toml}: [topics.shop] orders is a table: a logical name with dots needs quotes, [topics."shop.orders"]'
    ]


def test_a_topic_that_is_no_table_is_refused(toml: Path) -> None:
    toml.write_text("[topics]\norders = 3\n")
    known = "name, partitions, replication, config, on_failure, max_attempts, rate"
    assert refused({}, toml) == [f"{toml}: [topics.orders] is 3; allowed: a table with any of {known}"]


def test_every_setting_is_in_the_docs_with_its_variable_and_limits() -> None:
    docs = (Path(__file__).parents[2] / "docs" / "settings.md").read_text(encoding="utf-8")
    relay, _, topics = docs.partition("## `[topics")
    for name, info, part in (
        *((name, info, relay) for name, info in FIELDS.items()),
        *((name, info, topics) for name, info in Topic.model_fields.items()),
    ):
        rows = [line for line in part.splitlines() if line.startswith("| `")]
        extra = info.json_schema_extra
        assert isinstance(extra, dict)
        allowed = f"| {extra['allowed']} |"
        (row,) = [row for row in rows if row.startswith(f"| `{name}` |") and allowed in row]
        default = str(info.default).lower() if isinstance(info.default, bool) else str(info.default)
        assert f"`{default}`" in row or info.default in ("", None, {}, PydanticUndefined)
    assert all(f"`RELAY_{name.upper()}`" in docs for name in FIELDS)
    for name in GUARDED:
        assert f"`{name}`" in docs


@given(st.dictionaries(st.sampled_from([f"RELAY_{name.upper()}" for name in FIELDS]), st.text()))
def test_whatever_the_environment_says_the_answer_is_settings_or_a_settings_error(environ: dict[str, str]) -> None:
    with suppress(SettingsError):
        assert load(ENOUGH | environ).page_rows > 0
