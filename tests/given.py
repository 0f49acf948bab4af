"""What a platform gives an operator before the walk-through begins: two PostgreSQLs and a Kafka that ask who is there.

All speak TLS with certificates of one authority, take passwords over it alone, and turn away whoever has no right. The
programs that the page takes for granted are on a PATH of its own: the servers' own tools, uv, and `stop_kafka` and
`start_kafka`, which stand for whatever stops and starts a broker elsewhere.
"""

import os
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TypeAlias

import psycopg
from confluent_kafka.admin import (  # type: ignore[attr-defined]
    AclBinding,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialUpsertion,
)

from relay.local.jars import cache_folder, find_java, kafka_jars
from relay.local.kafka import Kafka
from relay.local.postgres import Postgres
from relay.local.process import free_port
from tests import services
from tests.certificates import Authority
from tests.prometheus import program
from tests.secure import PASSWORD, install, kafka_properties

ADMINISTRATOR = "tundra-4-Birke"

PROGRAMS = ("prometheus", "promtool", "curl", "openssl")

MAY = ("WRITE", "READ", "DESCRIBE", "CREATE", "DESCRIBE_CONFIGS")
"""What docs/security.md says that a relay needs, and `relay topics --create` and `relay show` beside it."""

LOGIN = """\
security.protocol=SASL_SSL
ssl.truststore.type=PEM
ssl.truststore.location={authority}
sasl.mechanism=PLAIN
sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required \
username="admin" password="{password}";
"""

Deeds: TypeAlias = Mapping[str, Callable[[], None]]


@contextmanager
def given(folder: Path) -> Iterator[dict[str, str]]:
    """Start all of it; yield the whole environment of the operator's shell.

    Args:
        folder: for the files of all of it; PostgreSQL's user must be able to reach it.
    """
    authority = Authority(folder / "certificates")
    home, programs = folder / "home", folder / "programs"
    home.mkdir(parents=True)
    programs.mkdir()
    with ExitStack() as running:
        old, new = (_postgres(running, folder / name, authority) for name in ("postgres", "new-postgres"))
        kafka, brokers = _kafka(running, folder / "kafka", authority)
        _put_on_path(
            programs, old, running.enter_context(_door({"stop_kafka": kafka.kill, "start_kafka": kafka.start}))
        )
        password, login = folder / "kafka-password", folder / "kafka-admin.properties"
        for file, content in (
            (password, PASSWORD),
            (login, LOGIN.format(authority=authority.certificate, password=ADMINISTRATOR)),
        ):
            file.touch(mode=0o600)
            file.write_text(content)
        yield {
            "HOME": str(home),
            "PATH": f"{programs}:{os.defpath}",
            "LANG": "C.UTF-8",
            "CHECKOUT": str(services.REPOSITORY),
            "PGHOST": "localhost",
            "PGPORT": str(old.port),
            "PGUSER": "administrator",
            "PGPASSWORD": ADMINISTRATOR,
            "PGDATABASE": "postgres",
            "PGSSLMODE": "verify-full",
            "PGSSLROOTCERT": str(authority.certificate),
            "NEW_PGHOST": "localhost",
            "NEW_PGPORT": str(new.port),
            "KAFKA_BROKERS": brokers,
            "KAFKA_CA": str(authority.certificate),
            "KAFKA_USER": "relay",
            "KAFKA_PASSWORD_FILE": str(password),
            "KAFKA_ADMIN": str(login),
            **{name: str(free_port()) for name in ("PORT_A", "PORT_B", "PROMETHEUS_PORT")},
            "UV_CACHE_DIR": os.environ.get("UV_CACHE_DIR", str(cache_folder() / "uv")),
            "UV_OFFLINE": "1",
            "UV_PYTHON": sys.executable,
        }


def _postgres(running: ExitStack, folder: Path, authority: Authority) -> Postgres:
    """Start a server with an administrator who is let in over TLS and with a password, as everybody else is."""
    server = services.start_postgres(running, folder, None, {})
    with psycopg.connect(server.url(), autocommit=True) as connection:
        row = connection.execute("show data_directory").fetchone()
        assert row is not None
        connection.execute(f"create role administrator superuser login password '{ADMINISTRATOR}'".encode())
        install(Path(row[0]), authority.issue("postgres"))
        (Path(row[0]) / "pg_hba.conf").write_text("hostssl all all all scram-sha-256\n")
        connection.execute("alter system set ssl = on")
        connection.execute("select pg_reload_conf()")
    return server


def _kafka(running: ExitStack, folder: Path, authority: Authority) -> tuple[Kafka, str]:
    """Start a broker that lets the relay in by SCRAM and the administrator by PLAIN; return where that is, too."""
    port, controller_port, asking = free_port(), free_port(), free_port()
    plain = "org.apache.kafka.common.security.plain.PlainLoginModule required"
    properties = {
        **kafka_properties(
            port, controller_port, {"SASL": asking}, {"SASL": authority.issue("broker")}, authority.certificate
        ),
        "listener.name.sasl.plain.sasl.jaas.config": f'{plain} user_admin="{ADMINISTRATOR}";',
        "auto.create.topics.enable": "false",
        "allow.everyone.if.no.acl.found": "false",
        "super.users": "User:ANONYMOUS;User:admin",
    }
    with services.failing_plainly():
        kafka = running.enter_context(Kafka(folder, port, controller_port, properties=properties))
    admin = AdminClient({"bootstrap.servers": kafka.brokers})
    login = UserScramCredentialUpsertion(
        "relay", ScramCredentialInfo(ScramMechanism.SCRAM_SHA_512, 4096), PASSWORD.encode()
    )
    rules = [
        AclBinding(
            ResourceType.TOPIC,
            "walkthrough.",
            ResourcePatternType.PREFIXED,
            "User:relay",
            "*",
            AclOperation[right],
            AclPermissionType.ALLOW,
        )
        for right in MAY
    ]
    for answers in (admin.alter_user_scram_credentials([login]), admin.create_acls(rules)):
        for answer in answers.values():
            answer.result(30)
    return kafka, f"localhost:{asking}"


@contextmanager
def _door(deeds: Deeds) -> Iterator[str]:
    """Let programs ask this process, by HTTP, to do something; yield where."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            deeds[self.path.strip("/")]()
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _put_on_path(programs: Path, server: Postgres, door: str) -> None:
    """Fill a folder with the programs that the page takes for granted."""
    for name in PROGRAMS:
        (programs / name).symlink_to(program(name))
    (programs / "uv").symlink_to(Path(sys.executable).with_name("uv"))
    jars, tool = kafka_jars(cache_folder()), f"{find_java()} -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -XX:-UsePerfData"
    scripts = {
        "kafka-configs.sh": f'{tool} -cp "{jars}/*" kafka.admin.ConfigCommand',
        **{name: str(server._binaries / name) for name in ("psql", "pg_dump")},
        **{
            name: f"curl --silent --show-error --fail --request POST {door}/{name}"
            for name in ("stop_kafka", "start_kafka")
        },
    }
    for name, command in scripts.items():
        (programs / name).write_text(f'#!/bin/sh\nexec {command} "$@"\n')
        (programs / name).chmod(0o755)
