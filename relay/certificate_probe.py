"""Why a PostgreSQL's certificate is not accepted: libpq says only that it is not, so the handshake is done once more.

Guarantees: it is asked only after libpq has refused, sends nothing but the request for TLS, and says nothing where it
cannot tell.
"""

import socket
import ssl
import struct

from psycopg.conninfo import conninfo_to_dict

SSL_REQUEST = struct.pack("!ii", 8, 80877103)
"""PostgreSQL's message SSLRequest; a server that speaks TLS answers S and begins the handshake."""

PROBE_SECONDS = 3.0

_MENDS = (
    ("expired", "renew it on the server"),
    ("mismatch", "name the server as its certificate does"),
    ("not valid for", "name the server as its certificate does"),
    ("", "check sslrootcert: who signed the certificate is not known here"),
)
"""What to do, by what OpenSSL says; the first that fits."""


def why_not_trusted(database_url: str) -> str | None:
    """Say why a server's certificate is not accepted, and what to do about it; None when that cannot be told."""
    parts = {name: str(value) for name, value in conninfo_to_dict(database_url).items()}
    hosts = parts.get("host", "localhost").split(",")
    ports = parts.get("port", "5432").split(",")
    addresses = parts.get("hostaddr", "").split(",")
    for place, host in enumerate(hosts):
        address = (addresses[place] if place < len(addresses) else "") or host
        why = _shake_hands(host, address, int(ports[min(place, len(ports) - 1)] or 5432), parts)
        if why:
            mend = next(mend for words, mend in _MENDS if words in why)
            return f"{why}; {mend}"
    return None


def _shake_hands(host: str, address: str, port: int, parts: dict[str, str]) -> str | None:
    root = parts.get("sslrootcert", "")
    try:
        context = ssl.create_default_context(cafile=root if root not in {"", "system"} else None)
        context.check_hostname = parts.get("sslmode") == "verify-full"
        with socket.create_connection((address, port), timeout=PROBE_SECONDS) as plain:
            plain.sendall(SSL_REQUEST)
            if plain.recv(1) == b"S":
                context.wrap_socket(plain, server_hostname=host).close()
    except ssl.SSLCertVerificationError as error:
        return error.verify_message
    except (OSError, ValueError):
        return None
    return None
