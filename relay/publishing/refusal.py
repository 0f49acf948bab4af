"""Why Kafka turns a client away: what librdkafka heard on its connections, and what it means.

librdkafka tries for ever, and answers a question only with "transport failure". The reason goes to a callback. Whether
a broker's certificate has expired, is another host's, or was signed by somebody unknown, librdkafka does not tell
apart, so the handshake is done once more by Python, which does.
"""

import re
import socket
import ssl
import time
from collections.abc import Mapping

from confluent_kafka import KafkaError

REFUSED = frozenset(
    {
        KafkaError._SSL,  # noqa: SLF001 - librdkafka's own error codes begin with an underscore
        KafkaError._AUTHENTICATION,  # noqa: SLF001
        KafkaError.SASL_AUTHENTICATION_FAILED,
        KafkaError.UNSUPPORTED_SASL_MECHANISM,
    }
)
"""Errors that no waiting mends: one of both sides does not accept who the other is."""

_ALERT = "alert"
"""In OpenSSL's words for what the other side said last. By TLS 1.3 a client hears only when it first reads, and not
as an error of the handshake, that its certificate was not accepted."""

WORTH_SECONDS = 30.0
"""For how long a refusal explains that nothing is acknowledged. librdkafka tries again every second."""

PROBE_SECONDS = 3.0

_PLACE = re.compile(r"(?:sasl_)?ssl://(?P<host>\[[^\]]+\]|[^/:]+):(?P<port>\d+)/", re.IGNORECASE)

_CLIENT = "the broker does not accept this client certificate: check who signed it, and until when it is valid"

_MENDS = (
    (
        "certificate required",
        "the broker wants a client certificate: set ssl.certificate.location and ssl.key.location",
    ),
    (
        "bad certificate",
        _CLIENT,
    ),
    ("unknown ca", "the broker does not know who signed this client certificate: check ssl.certificate.location"),
    ("certificate expired", "this client certificate has expired: renew it"),
    (
        "certificate unknown",
        _CLIENT,
    ),
    ("has expired", "the broker's certificate has expired: renew it there"),
    ("mismatch", "the broker's certificate is for another host: name the broker as its certificate does"),
    ("not valid for", "the broker's certificate is for another host: name the broker as its certificate does"),
    ("issuer certificate", "who signed the broker's certificate is not known here: check ssl.ca.location"),
    ("self-signed", "who signed the broker's certificate is not known here: check ssl.ca.location"),
    ("self signed", "who signed the broker's certificate is not known here: check ssl.ca.location"),
    ("invalid credentials", "check sasl.username and sasl.password, and that the broker knows this user"),
    ("authentication failed", "check sasl.username and sasl.password, and that the broker knows this user"),
    ("mechanism", "the broker wants another one: set sasl.mechanism"),
    ("authentication", "check sasl.username and sasl.password, and that the broker knows this user"),
    ("wrong version number", "this port does not speak TLS: check security.protocol and KAFKA_BROKERS"),
)
"""What to do, by what the error says; the first that fits. The words are OpenSSL's, Kafka's and librdkafka's."""


class Complaints:
    """What librdkafka has told of its connections: give `note` to a client as its `error_cb`."""

    def __init__(self) -> None:
        self._refusal: KafkaError | None = None
        self._refused_at = 0.0
        self._other: KafkaError | None = None

    def note(self, error: KafkaError) -> None:
        """Remember an error; called by librdkafka from within `poll` and `flush`."""
        if error.code() in REFUSED or _ALERT in error.str():
            self._refusal, self._refused_at = error, time.monotonic()
        elif error.code() != KafkaError._ALL_BROKERS_DOWN:  # noqa: SLF001
            self._other = error

    @property
    def refusal(self) -> str | None:
        """What the broker, or this side, did not accept a moment ago; None when nothing of the kind was heard."""
        fresh = time.monotonic() - self._refused_at < WORTH_SECONDS
        return _plain(self._refusal) if self._refusal and fresh else None

    @property
    def other(self) -> str | None:
        """What else was the matter with a connection."""
        return _plain(self._other) if self._other else None


def _plain(error: KafkaError) -> str:
    return " ".join(error.str().split())


def explain(refusal: str, kafka: Mapping[str, str]) -> str:
    """Say of a refusal what it means, and what to do about it.

    Args:
        refusal: what `Complaints` noted.
        kafka: the librdkafka properties, by which the handshake is repeated where a certificate was not accepted.
    """
    found = refusal
    place = _PLACE.search(refusal)
    if "verif" in refusal.lower() and place:
        why = handshake(place["host"].strip("[]"), int(place["port"]), kafka)
        found = f"{place[0].rstrip('/')}: {why}" if why else refusal
    mend = next(
        (mend for words, mend in _MENDS if words in found.lower()), "check the security properties under [kafka]"
    )
    return f"{found}; {mend}"


def handshake(host: str, port: int, kafka: Mapping[str, str]) -> str | None:
    """Shake hands by TLS as librdkafka would, and return why the other's certificate is not accepted; None if it is."""
    try:
        context = ssl.create_default_context(cafile=kafka.get("ssl.ca.location"), cadata=kafka.get("ssl.ca.pem"))
        context.check_hostname = kafka.get("ssl.endpoint.identification.algorithm", "https") != "none"
        with socket.create_connection((host, port), timeout=PROBE_SECONDS) as plain:
            context.wrap_socket(plain, server_hostname=host).close()
    except ssl.SSLCertVerificationError as error:
        return f"the broker's certificate is not accepted: {error.verify_message}"
    except (OSError, ValueError):
        # It said something else than about certificates, or nothing any more: librdkafka's own words have to do.
        return None
    return None
