"""A Kafka whose listeners ask who is there, and a PostgreSQL that speaks TLS, with certificates of an own authority."""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest
from confluent_kafka.admin import (  # type: ignore[attr-defined]
    AdminClient,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialUpsertion,
)

from relay import migrate
from relay.local.kafka import Kafka
from relay.local.postgres import Postgres
from relay.local.process import free_port
from tests import services
from tests.certificates import Authority, Pair
from tests.secure import PASSWORD, SASL, install, kafka_properties

LISTENERS = (*SASL, "MTLS", "EXPIRED", "ELSEWHERE")


@dataclass(frozen=True)
class SecureKafka:
    """Where each listener is; PLAINTEXT is left to the administrator."""

    kafka: Kafka
    ports: dict[str, int]
    authority: Path
    client: Pair
    stranger: Pair
    late: Pair
    """Of a client whose certificate has expired."""

    def at(self, listener: str) -> str:
        return f"localhost:{self.ports[listener]}"

    @property
    def admin(self) -> AdminClient:
        return AdminClient({"bootstrap.servers": self.kafka.brokers})

    def tls(self, listener: str = "SASL") -> dict[str, str]:
        """The variables with which a relay reaches a listener, but for who it is."""
        protocol = "SASL_SSL" if listener in SASL else "SSL"
        return {
            "KAFKA_BROKERS": self.at(listener),
            "RELAY_KAFKA_SECURITY_PROTOCOL": protocol,
            "RELAY_KAFKA_SSL_CA_LOCATION": str(self.authority),
        }

    def brief(self, password_file: Path) -> dict[str, str]:
        """The same where a client must prove every two seconds who it is (KIP-368), with a password from a file."""
        user = {"RELAY_KAFKA_SASL_MECHANISM": "SCRAM-SHA-256", "RELAY_KAFKA_SASL_USERNAME": "relay"}
        return {**self.tls("BRIEF"), **user, "RELAY_KAFKA_SASL_PASSWORD_FILE": str(password_file)}

    def sasl(self, mechanism: str, password: str = PASSWORD) -> dict[str, str]:
        user = {"RELAY_KAFKA_SASL_MECHANISM": mechanism, "RELAY_KAFKA_SASL_USERNAME": "relay"}
        return {**self.tls(), **user, "RELAY_KAFKA_SASL_PASSWORD": password}

    def mtls(self, pair: Pair) -> dict[str, str]:
        return {
            **self.tls("MTLS"),
            "RELAY_KAFKA_SSL_CERTIFICATE_LOCATION": str(pair.certificate),
            "RELAY_KAFKA_SSL_KEY_LOCATION": str(pair.key),
        }

    def set_password(self, password: str) -> None:
        """Give the user `relay` a password for SCRAM."""
        for mechanism in (ScramMechanism.SCRAM_SHA_256, ScramMechanism.SCRAM_SHA_512):
            change = UserScramCredentialUpsertion("relay", ScramCredentialInfo(mechanism, 4096), password.encode())
            admin = self.admin
            for future in admin.alter_user_scram_credentials([change]).values():
                future.result(30)


@pytest.fixture(scope="package")
def secure_kafka(services_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecureKafka]:
    folder = tmp_path_factory.mktemp("certificates")
    ours, others = Authority(folder), Authority(folder / "others", "others")
    good = ours.issue("broker")
    pairs = {
        "SASL": good,
        "BRIEF": good,
        "MTLS": good,
        "EXPIRED": ours.issue("expired", days=-2),
        "ELSEWHERE": ours.issue("elsewhere", "kafka.example.org"),
    }
    ports = {name: free_port() for name in LISTENERS}
    port, controller_port = free_port(), free_port()
    made = kafka_properties(port, controller_port, ports, pairs, ours.certificate)
    with ExitStack() as running, services.failing_plainly():
        own_folder = services.new_folder(services_folder, "secure-kafka")
        kafka = running.enter_context(Kafka(own_folder, port, controller_port, properties=made))
        clients = ours.issue("relay"), others.issue("stranger"), ours.issue("late", days=-2)
        found = SecureKafka(kafka, ports, ours.certificate, *clients)
        found.set_password(PASSWORD)
        yield found


@dataclass(frozen=True)
class SecurePostgres:
    """A PostgreSQL that takes passwords over TLS alone."""

    server: Postgres
    authority: Path
    pairs: dict[str, Pair]
    """The server's certificate, and one that has expired."""

    def show(self, name: str) -> None:
        """Let the server show one of its certificates from now on."""
        with psycopg.connect(self.server.url(), autocommit=True) as connection:
            ((data,),) = connection.execute("show data_directory").fetchall()
            install(Path(data), self.pairs[name])
            connection.execute("select pg_reload_conf()")

    def url(self, database: str, *, host: str = "localhost", user: str = "relay", password: str = PASSWORD) -> str:
        place = f"postgresql://{user}:{password}@{host}:{self.server.port}/{database}"
        return f"{place}?sslmode=verify-full&sslrootcert={self.authority}"

    def owner(self, database: str) -> str:
        return self.url(database, user="owner")


@pytest.fixture(scope="package")
def secure_postgres(services_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecurePostgres]:
    authority = Authority(tmp_path_factory.mktemp("certificates"))
    with ExitStack() as running:
        folder = services.new_folder(services_folder, "secure-postgres")
        server = services.start_postgres(running, folder, None, {})
        with psycopg.connect(server.url(), autocommit=True) as connection:
            row = connection.execute("show data_directory").fetchone()
            assert row is not None
            data = Path(row[0])
            connection.execute(f"create role owner superuser login password '{PASSWORD}'".encode())
            connection.execute(f"create role relay login password '{PASSWORD}'".encode())
            pairs = {"good": authority.issue("postgres"), "expired": authority.issue("expired", days=-2)}
            install(data, pairs["good"])
            hba = "local all all trust\nhost all postgres 127.0.0.1/32 trust\nhostssl all all all scram-sha-256\n"
            (data / "pg_hba.conf").write_text(hba)
            connection.execute("alter system set ssl = on")
            connection.execute("select pg_reload_conf()")
        yield SecurePostgres(server, authority.certificate, pairs)


@pytest.fixture
def secure_database(secure_postgres: SecurePostgres) -> Iterator[str]:
    """The name of a database with the outbox in it, in which role `relay` may do a relay's work."""
    name = services.create_database(secure_postgres.server)
    migrate.upgrade(secure_postgres.owner(name))
    with psycopg.connect(secure_postgres.server.url(), autocommit=True) as connection:
        connection.execute("grant outbox_relay to relay")
    yield name
    services.drop_database(secure_postgres.server, name)
