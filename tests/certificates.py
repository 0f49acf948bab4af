"""Makes certificates as a company's own authority would: for servers by their host name, for clients by their name."""

import datetime as dt
import ipaddress
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

DAY = dt.timedelta(days=1)


@dataclass(frozen=True)
class Pair:
    """A certificate and its key, each in a file of PEM, and both together in a third."""

    certificate: Path
    key: Path
    both: Path


class Authority:
    """One that signs. `certificate` is the file by which others know it."""

    def __init__(self, folder: Path, name: str = "authority") -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self.certificate = folder / f"{name}.pem"
        made = self._sign(self._name, self._key, 0, 10, x509.BasicConstraints(ca=True, path_length=None))
        self.certificate.write_bytes(made)

    def issue(self, name: str, host: str = "localhost", *, days: int = 10) -> Pair:
        """Issue a certificate; with negative days it expired so long ago."""
        key = ec.generate_private_key(ec.SECP256R1())
        alternatives: list[x509.GeneralName] = [x509.DNSName(host)]
        if host == "localhost":
            alternatives.append(x509.IPAddress(ipaddress.ip_address("127.0.0.1")))
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        made = self._sign(subject, key, min(0, days) - 5, days, x509.SubjectAlternativeName(alternatives))
        secret = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        pair = Pair(*(self._folder / f"{name}.{kind}" for kind in ("crt", "key", "pem")))
        for path, content in ((pair.certificate, made), (pair.key, secret), (pair.both, secret + made)):
            path.touch(mode=0o600)
            path.write_bytes(content)
        return pair

    def _sign(
        self,
        subject: x509.Name,
        key: ec.EllipticCurvePrivateKey,
        since: int,
        until: int,
        extension: x509.ExtensionType,
    ) -> bytes:
        now = dt.datetime.now(dt.UTC)
        made = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now + since * DAY - DAY)
            .not_valid_after(now + until * DAY)
            .add_extension(extension, critical=isinstance(extension, x509.BasicConstraints))
            .sign(self._key, hashes.SHA256())
        )
        return made.public_bytes(serialization.Encoding.PEM)
