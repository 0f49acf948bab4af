"""What makes a Kafka and a PostgreSQL speak TLS and ask who is there."""

import os
from pathlib import Path

from tests.certificates import Pair

PASSWORD = "fjord-7-Granit"

SASL = ("SASL", "BRIEF")
"""The listeners that ask for a password; BRIEF does so every two seconds."""


def kafka_properties(
    kafka_port: int, controller_port: int, ports: dict[str, int], pairs: dict[str, Pair], ca: Path
) -> dict[str, str]:
    """Say in `server.properties` which listeners there are beside PLAINTEXT, which is the administrator's.

    Args:
        kafka_port: of PLAINTEXT.
        controller_port: of the controller.
        ports: of each other listener, by its name; those of `SASL` ask for a password, the others do not.
        pairs: the certificate of each of those.
        ca: whom they believe.
    """
    names = {"PLAINTEXT": kafka_port, **ports}
    listeners = ",".join(f"{name}://127.0.0.1:{port}" for name, port in names.items())
    advertised = ",".join(f"{name}://localhost:{port}" for name, port in names.items())
    protocols = {name: "SASL_SSL" if name in SASL else "SSL" for name in ports}
    plain = "org.apache.kafka.common.security.plain.PlainLoginModule required"
    scram = "org.apache.kafka.common.security.scram.ScramLoginModule required;"
    made = {
        "listeners": f"{listeners},CONTROLLER://127.0.0.1:{controller_port}",
        "advertised.listeners": f"{advertised},CONTROLLER://127.0.0.1:{controller_port}",
        "listener.security.protocol.map": ",".join(
            f"{name}:{protocol}"
            for name, protocol in {"PLAINTEXT": "PLAINTEXT", "CONTROLLER": "PLAINTEXT", **protocols}.items()
        ),
        "inter.broker.listener.name": "PLAINTEXT",
        "sasl.enabled.mechanisms": "PLAIN,SCRAM-SHA-256,SCRAM-SHA-512",
        "listener.name.sasl.plain.sasl.jaas.config": f'{plain} user_relay="{PASSWORD}";',
        "listener.name.sasl.scram-sha-256.sasl.jaas.config": scram,
        "listener.name.sasl.scram-sha-512.sasl.jaas.config": scram,
        "listener.name.brief.scram-sha-256.sasl.jaas.config": scram,
        "listener.name.brief.sasl.enabled.mechanisms": "SCRAM-SHA-256",
        "listener.name.brief.scram-sha-256.connections.max.reauth.ms": "2000",
        "listener.name.mtls.ssl.client.auth": "required",
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "allow.everyone.if.no.acl.found": "true",
        "super.users": "User:ANONYMOUS",
    }
    for name, pair in pairs.items():
        own = f"listener.name.{name.lower()}.ssl"
        made |= {f"{own}.keystore.type": "PEM", f"{own}.keystore.location": str(pair.both)}
        made |= {f"{own}.truststore.type": "PEM", f"{own}.truststore.location": str(ca)}
    return made


def install(data: Path, pair: Pair) -> None:
    """Give a server its certificate, in files of whoever its data belong to."""
    owner = data.stat()
    for source, name in ((pair.certificate, "server.crt"), (pair.key, "server.key")):
        path = data / name
        path.touch(mode=0o600)
        path.write_bytes(source.read_bytes())
        os.chown(path, owner.st_uid, owner.st_gid)
