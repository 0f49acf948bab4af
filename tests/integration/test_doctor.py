import json
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from relay import locks, migrate
from relay.connection import too_old
from relay.local.binaries import installed_binaries, wheel_binaries
from relay.restoring.rebase_plan import Marks
from relay.watching.findings import Level, clock, positions
from tests.certificates import Authority
from tests.command import relay
from tests.conftest import MakeTopic, OwnPostgres
from tests.pooler import transaction_pooler

NOWHERE = "127.0.0.1:1"


@pytest.fixture
def owner(database: str) -> Iterator["psycopg.Connection"]:
    with psycopg.connect(database, autocommit=True) as connection:
        yield connection


@pytest.fixture
def role(owner: "psycopg.Connection") -> Iterator[str]:
    """A role that may log in and nothing else."""
    owner.execute("create role restricted login")
    yield "restricted"
    owner.execute("drop owned by restricted")
    owner.execute("drop role restricted")


def findings(database: str, brokers: str, code: int, **variables: str) -> dict[str, dict[str, str]]:
    """Run the doctor, expect an exit code, and return what it found by check."""
    found = relay("doctor", "--json", DATABASE_URL=database, KAFKA_BROKERS=brokers, **variables)
    assert found.returncode == code, found.stdout + found.stderr
    return {finding["check"]: finding for finding in json.loads(found.stdout)["findings"]}


def test_all_is_well(database: str, kafka_brokers: str) -> None:
    found = findings(database, kafka_brokers, 0)
    levels = {check: finding["level"] for check, finding in found.items()}
    assert set(levels.values()) <= {"ok", "warning"}
    assert {
        *("database", "connection", "clock", "schema", "rights", "retention", "writers", "cluster", "sequence", "kafka")
    } <= set(levels)


def test_all_is_well_on_the_newest_postgresql(own_postgres: OwnPostgres, kafka_brokers: str) -> None:
    newest = max(versions := {**wheel_binaries(), **installed_binaries()})
    url = own_postgres(versions[newest]).url()
    assert relay("migrate", DATABASE_URL=url).returncode == 0
    assert findings(url, kafka_brokers, 0)["rights"]["level"] == "ok"


def test_each_check_is_a_line_with_its_mend(empty_database: str, kafka_brokers: str) -> None:
    found = relay("doctor", DATABASE_URL=empty_database, KAFKA_BROKERS=kafka_brokers)
    assert found.returncode == 2
    lines = found.stdout.splitlines()
    at = next(number for number, line in enumerate(lines) if line.startswith("problem     schema: there is no outbox"))
    assert lines[at + 1].strip() == "mend: make it with: relay migrate"


def test_a_schema_that_is_too_new_is_a_problem(database: str, owner: "psycopg.Connection", kafka_brokers: str) -> None:
    owner.execute("update outbox.schema_version set version_num = '9999'")
    owner.execute("create or replace function outbox.oldest_relay() returns text language sql stable return '9999'")
    schema = findings(database, kafka_brokers, 2)["schema"]
    assert "9999, newer than this relay knows" in schema["found"]
    assert "install" in schema["mend"]


def test_servers_that_do_not_answer_are_exit_code_1() -> None:
    found = findings(f"postgresql://u:geheim@{NOWHERE}/d", NOWHERE, 1)
    assert {check: finding["level"] for check, finding in found.items()} == {
        "database": "unreachable",
        "kafka": "unreachable",
    }
    assert NOWHERE in found["database"]["found"]
    assert NOWHERE in found["kafka"]["found"]
    assert "geheim" not in str(found)


def test_a_wrong_database_name_is_a_problem_and_kafka_is_looked_at_all_the_same(
    database: str, kafka_brokers: str
) -> None:
    found = findings(database + "x", kafka_brokers, 2)
    assert found["database"]["level"] == "problem"
    assert "does not exist" in found["database"]["found"]
    assert found["kafka"]["level"] == "ok"


def test_a_pooler_in_transaction_mode_is_a_problem(database: str, kafka_brokers: str) -> None:
    with transaction_pooler(database) as pooled:
        found = findings(pooled, kafka_brokers, 2)["database"]
    assert "pooler" in found["found"]
    assert "point DATABASE_URL at PostgreSQL itself" in found["mend"]


def test_missing_rights_are_named_each(
    database: str, owner: "psycopg.Connection", role: str, kafka_brokers: str
) -> None:
    owner.execute(f"grant usage on schema outbox to {role}; grant select on outbox.schema_version to {role}")
    owner.execute(f"grant select on outbox.message, outbox.checkpoint, outbox.snapshot to {role}")
    found = findings(database.replace("postgres@", f"{role}@"), kafka_brokers, 2)["rights"]
    assert found["found"] == (
        f"role {role} lacks: insert on outbox.checkpoint, insert on outbox.snapshot, "
        "select on outbox.topic_rule, select on outbox.held, insert on outbox.held, update on outbox.held, "
        "usage or select on sequence outbox.message_seq, usage or select on sequence outbox.slot, "
        "execute on function outbox.shard_count()"
    )


def test_rights_that_only_pruning_needs_are_warned_of(
    database: str, owner: "psycopg.Connection", role: str, kafka_brokers: str
) -> None:
    owner.execute(f"grant usage on schema outbox to {role}; grant select on all tables in schema outbox to {role}")
    owner.execute(f"grant insert on outbox.checkpoint, outbox.snapshot, outbox.held to {role}")
    owner.execute(f"grant update on outbox.held to {role}; grant select on all sequences in schema outbox to {role}")
    owner.execute(f"grant execute on all functions in schema outbox to {role}")
    owner.execute(f"grant truncate on outbox.message_0 to {role}; grant delete on outbox.held to {role}")
    found = findings(database.replace("postgres@", f"{role}@"), kafka_brokers, 0)
    assert found["rights"]["level"] == "ok"
    assert found["retention"]["level"] == "warning"
    assert found["retention"]["found"] == (
        f"role {role} lacks: delete on outbox.checkpoint, delete on outbox.snapshot, insert on outbox.rotation, "
        "update on outbox.rotation, truncate on outbox.message_1, truncate on outbox.message_2, "
        "truncate on outbox.message_3, truncate on outbox.message_4, truncate on outbox.message_5, "
        "truncate on outbox.message_6, truncate on outbox.message_7, update on sequence outbox.slot; "
        "what was sent stays on disk"
    )


def test_a_role_without_the_schema_is_told_what_to_grant(database: str, role: str, kafka_brokers: str) -> None:
    found = findings(database.replace("postgres@", f"{role}@"), kafka_brokers, 2)["schema"]
    assert found["mend"] == f"grant usage on schema outbox, and select on outbox.schema_version, to {role}"


@pytest.mark.parametrize("right", ["insert", "insert (seq)", "update (slot)"])
def test_roles_that_could_forge_a_position_are_named(
    right: str, database: str, owner: "psycopg.Connection", role: str, kafka_brokers: str
) -> None:
    owner.execute(f"grant {right} on outbox.message to {role}")
    found = findings(database, kafka_brokers, 0)["writers"]
    assert found["level"] == "warning"
    assert found["found"].endswith(f": {role}")
    assert "grant insert (id, topic, key," in found["mend"]


def test_rights_of_everyone_to_forge_are_named(database: str, owner: "psycopg.Connection", kafka_brokers: str) -> None:
    owner.execute("grant insert on outbox.message to public")
    assert "public (everyone)" in findings(database, kafka_brokers, 0)["writers"]["found"]


def test_a_role_that_may_only_enqueue_is_no_forger(
    database: str, owner: "psycopg.Connection", role: str, kafka_brokers: str
) -> None:
    owner.execute(f"grant insert (topic, key, type, payload) on outbox.message to {role}")
    assert findings(database, kafka_brokers, 0)["writers"]["level"] == "ok"


def test_a_sequence_that_went_backwards_is_a_problem(
    database: str, owner: "psycopg.Connection", kafka_brokers: str
) -> None:
    owner.execute(
        "with at as (insert into outbox.snapshot (taken, floor, system_identifier)"
        " select pg_current_snapshot(), 500, system_identifier from pg_control_system() returning id)"
        " insert into outbox.checkpoint (shard, batch, seen, upto, sent) select 3, 1, at.id, 0, 0 from at"
    )
    found = findings(database, kafka_brokers, 2)["sequence"]
    assert "numbers up to 500 were drawn: it went backwards" in found["found"]
    assert "run: relay rebase" in found["mend"]


def test_positions_of_another_cluster_are_a_problem(
    database: str, owner: "psycopg.Connection", kafka_brokers: str
) -> None:
    owner.execute("update outbox.snapshot set system_identifier = 42")
    found = findings(database, kafka_brokers, 2)["cluster"]
    assert "belong to the cluster 42" in found["found"]
    assert "run: relay rebase" in found["mend"]


def test_standby_that_is_not_waited_for_is_warned_of_and_one_that_is_missing_is_a_problem(
    own_postgres: OwnPostgres, kafka_brokers: str
) -> None:
    primary = own_postgres()
    migrate.upgrade(primary.url())
    replicated = {"RELAY_DURABILITY": "replicated"}
    assert findings(primary.url(), kafka_brokers, 0)["replication"]["level"] == "ok"
    found = findings(primary.url(), kafka_brokers, 2, **replicated)["replication"]
    assert "nothing is published until one does" in found["mend"]
    own_postgres(follows=primary)
    found = findings(primary.url(), kafka_brokers, 0)["replication"]
    assert found["level"] == "warning"
    assert found["found"] == "standbys that stream: 1; durability is local; no standby is synchronous"
    assert findings(primary.url(), kafka_brokers, 0, **replicated)["replication"]["level"] == "ok"


def test_role_that_may_not_see_standbys_is_told_so_by_the_doctor_and_by_the_relay(
    database: str, owner: "psycopg.Connection", role: str, kafka_brokers: str
) -> None:
    owner.execute(f"grant outbox_relay to {role}")
    url = database.replace("postgres@", f"{role}@")
    found = findings(url, kafka_brokers, 2, RELAY_DURABILITY="replicated")["replication"]
    assert "grant pg_read_all_stats" in found["mend"]
    run = relay("run", DATABASE_URL=url, KAFKA_BROKERS=kafka_brokers, RELAY_DURABILITY="replicated")
    assert run.returncode == 2
    assert f"grant pg_read_all_stats to {role}" in run.stderr


def test_two_phase_commits_are_warned_of(database: str, kafka_brokers: str) -> None:
    found = findings(database, kafka_brokers, 0)["two-phase commit"]
    assert (found["level"], found["found"]) == ("warning", "max_prepared_transactions is 20")
    assert "set local outbox.doorbell = off" in found["mend"]


def test_a_listed_topic_that_is_missing_is_a_problem(database: str, kafka_brokers: str) -> None:
    found = findings(database, kafka_brokers, 2, RELAY_TOPICS='{"orders": {"name": "nowhere-to-be-found"}}')
    assert found["topic orders"]["found"] == "nowhere-to-be-found does not exist in Kafka"
    assert found["topic orders"]["mend"] == "make it: relay topics --create"


def test_a_topic_of_one_replica_is_warned_of(database: str, kafka_brokers: str, make_topic: MakeTopic) -> None:
    name = make_topic(partitions=2, config={"max.message.bytes": "54321"})
    found = findings(database, kafka_brokers, 0, RELAY_TOPICS=json.dumps({name: {}}))[f"topic {name}"]
    assert found["level"] == "warning"
    assert found["found"] == f"{name}: partitions 2, replication 1, messages up to 54321 bytes"


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("RELAY_KAFKA_LINGR_MS", "1", "did you mean linger.ms?"),
        ("RELAY_KAFKA_SECURITY_PROTOCOL", "TLS", 'Invalid value "TLS"'),
        ("RELAY_KAFKA_SOCKET_TIMEOUT_MS", "soon", "Invalid value"),
    ],
)
def test_a_property_that_librdkafka_refuses_is_a_mistake(
    variable: str, value: str, said: str, database: str, kafka_brokers: str
) -> None:
    found = relay("doctor", DATABASE_URL=database, KAFKA_BROKERS=kafka_brokers, **{variable: value})
    assert found.returncode == 2
    assert said in found.stderr


def test_a_clock_that_is_off_is_warned_of() -> None:
    assert clock(0.9).level is clock(-0.9).level is Level.OK
    assert clock(1.1).level is clock(-1.1).level is Level.WARNING
    assert "1.100 s behind" in clock(-1.1).found


def test_postgresql_before_14_is_too_old() -> None:
    assert too_old(130012)
    assert not too_old(140000)
    assert not too_old(180001)


def test_positions_of_this_cluster_and_sequence_are_in_order() -> None:
    marks = Marks(here=42, recorded=frozenset({42}), missing=frozenset(), number=7, drawn=7, newest=None)
    assert [finding.level for finding in positions(marks)] == [Level.OK, Level.OK]


def test_a_server_without_prepared_transactions_is_not_warned_of(own_postgres: OwnPostgres, kafka_brokers: str) -> None:
    url = own_postgres(settings={"max_prepared_transactions": "0"}).url()
    assert relay("migrate", DATABASE_URL=url).returncode == 0
    assert findings(url, kafka_brokers, 0)["two-phase commit"]["level"] == "ok"


def test_sessions_that_squat_on_the_relays_locks_are_named(database: str, role: str, kafka_brokers: str) -> None:
    assert findings(database, kafka_brokers, 0)["locks"]["level"] == "ok"
    with psycopg.connect(database.replace("postgres@", f"{role}@"), autocommit=True) as squatter:
        squatter.execute("select pg_advisory_lock(%s, 3), pg_advisory_lock(%s, 5)", [locks.LEASE, locks.LEASE])
        found = findings(database, kafka_brokers, 2)["locks"]
        assert f"role {role}" not in found["mend"]
        assert found["found"].endswith(f"{role} (pid {squatter.info.backend_pid}) holds lease 3, 5")


def test_a_login_with_the_rights_of_two_roles_is_warned_of(
    database: str, owner: "psycopg.Connection", role: str, kafka_brokers: str
) -> None:
    owner.execute(f"grant outbox_application, outbox_operator to {role}")
    found = findings(database, kafka_brokers, 0)["roles"]
    assert found["found"] == f"{role} is a member of outbox_application and outbox_operator"


def test_settings_are_checked_without_any_server() -> None:
    url = "postgresql://relay:geheim@db.internal/shop"
    found = relay("doctor", "--settings-only", "--json", DATABASE_URL=url, KAFKA_BROKERS="kafka:9092")
    assert found.returncode == 0
    levels = {finding["check"]: finding["level"] for finding in json.loads(found.stdout)["findings"]}
    assert levels == {"settings": "ok", "database": "warning", "kafka": "ok"}
    assert "geheim" not in found.stdout
    unknown = {"DATABASE_URL": url, "KAFKA_BROKERS": "kafka:9092", "RELAY_KAFKA_SASL_PASSWORT": "geheim"}
    found = relay("doctor", "--settings-only", **unknown)
    assert found.returncode == 2
    assert "geheim" not in found.stdout + found.stderr


def test_private_key_that_everybody_may_read_is_warned_of(tmp_path: Path) -> None:
    pair = Authority(tmp_path).issue("relay")
    variables = {
        "DATABASE_URL": "postgresql://localhost/shop",
        "KAFKA_BROKERS": "kafka:9092",
        "RELAY_KAFKA_SECURITY_PROTOCOL": "SSL",
        "RELAY_KAFKA_SSL_CERTIFICATE_LOCATION": str(pair.certificate),
        "RELAY_KAFKA_SSL_KEY_LOCATION": str(pair.key),
    }
    assert relay("doctor", "--settings-only", **variables).stdout.count("every user of this machine") == 0
    pair.key.chmod(0o644)
    found = relay("doctor", "--settings-only", "--json", **variables)
    (kafka,) = [finding for finding in json.loads(found.stdout)["findings"] if finding["check"] == "kafka"]
    assert kafka["level"] == "warning"
    assert f"ssl.key.location {pair.key}" in kafka["found"]
    assert kafka["mend"].startswith("chmod o-r")
