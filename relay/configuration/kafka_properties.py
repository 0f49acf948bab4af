"""Which librdkafka properties a user may set: all but those that guard a promise, and those are refused by name.

Pure: it judges names and turns values into text. What librdkafka itself thinks of the rest it says when a client is
made with them; `unfit` puts that into our words. Names and defaults: librdkafka's `CONFIGURATION.md`.
"""

from collections.abc import Callable, Iterable, Mapping
from difflib import get_close_matches

from relay.errors import SettingsError

_LOST = "with any other value a crash of a broker could lose a message that was counted as published"
_ORDER = "with any other value a retry could overtake, and messages of one key would change places"
_DEADLINE = "the relay gives up and sends again by its own clock, which must stay below the takeover time"
_REPORT = "the relay learns from it which message failed; without it a failure would pass for success"
_BROKERS = "the brokers are a setting of the relay: set KAFKA_BROKERS, or kafka_brokers in [relay]"
_WAVES = "the relay sends waves of one request a partition; else a message could be written behind one that failed"
_VERSIONS = "without asking the broker for its versions librdkafka takes it for one that knows no idempotence"
_CODE = "it takes a function, not a value"

GUARDED: Mapping[str, str] = {
    "enable.idempotence": "without it a retry repeats messages out of order",
    "acks": _LOST,
    "request.required.acks": _LOST,
    "retries": _LOST,
    "message.send.max.retries": _LOST,
    "enable.gapless.guarantee": "without it a message that fails is passed by later ones of its key",
    "max.in.flight": _ORDER,
    "max.in.flight.requests.per.connection": _ORDER,
    "queuing.strategy": _ORDER,
    "partitioner": "every producer of a topic must agree on the partition of a key; the relay uses murmur2_random, "
    "as Java and KafkaJS do",
    "message.timeout.ms": _DEADLINE,
    "delivery.timeout.ms": _DEADLINE,
    "topic.metadata.propagation.max.ms": _DEADLINE,
    "delivery.report.only.error": _REPORT,
    "enabled_events": _REPORT,
    "transactional.id": "the relay does not use Kafka's transactions, and nothing would ever be committed",
    "linger.ms": _WAVES,
    "queue.buffering.max.ms": _WAVES,
    "batch.size": _WAVES,
    "batch.num.messages": _WAVES,
    "queue.buffering.max.messages": _WAVES,
    "queue.buffering.max.kbytes": _WAVES,
    "api.version.request": _VERSIONS,
    "broker.version.fallback": _VERSIONS,
    "message.max.bytes": "each topic's own max.message.bytes is the limit, so that no other size refuses a message",
    "bootstrap.servers": _BROKERS,
    "metadata.broker.list": _BROKERS,
    "default.topic.config": "topic properties may be set directly",
}
"""Each property that the relay sets itself, or never sets, with what would happen otherwise."""

KNOWN = (
    *(
        "batch.num.messages",
        "batch.size",
        "broker.address.family",
        "client.dns.lookup",
        "client.id",
        "client.rack",
    ),
    *("compression.codec", "compression.level", "compression.type", "connections.max.idle.ms", "debug"),
    *(
        "enable.ssl.certificate.verification",
        "linger.ms",
        "log.connection.close",
        "log_level",
        "metadata.max.age.ms",
    ),
    *(
        "queue.buffering.max.kbytes",
        "queue.buffering.max.messages",
        "queue.buffering.max.ms",
        "reconnect.backoff.ms",
    ),
    *("reconnect.backoff.max.ms", "request.timeout.ms", "retry.backoff.ms", "retry.backoff.max.ms"),
    *("sasl.kerberos.keytab", "sasl.kerberos.principal", "sasl.kerberos.service.name", "sasl.mechanism"),
    *(
        "sasl.mechanisms",
        "sasl.oauthbearer.client.id",
        "sasl.oauthbearer.client.secret",
        "sasl.oauthbearer.config",
    ),
    *("sasl.oauthbearer.extensions", "sasl.oauthbearer.method", "sasl.oauthbearer.scope"),
    *("sasl.oauthbearer.token.endpoint.url", "sasl.password", "sasl.username", "security.protocol"),
    *(
        "socket.connection.setup.timeout.ms",
        "socket.keepalive.enable",
        "socket.timeout.ms",
        "ssl.ca.location",
    ),
    *("ssl.ca.pem", "ssl.certificate.location", "ssl.certificate.pem", "ssl.cipher.suites"),
    *("ssl.endpoint.identification.algorithm", "ssl.key.location", "ssl.key.password", "ssl.key.pem"),
    *(
        "ssl.keystore.location",
        "ssl.keystore.password",
        "statistics.interval.ms",
        "topic.metadata.refresh.interval.ms",
    ),
)
"""Properties that people set, to suggest from. Not a list of what is allowed: librdkafka knows more."""

_UNDERSCORED = ("log_level", "enabled_events")
"""The only properties of plain values whose name has an underscore where others have a dot."""

VARIABLE = "RELAY_KAFKA_"


def from_variable(variable: str, prefix: str = VARIABLE) -> str:
    """Name the property that an environment variable sets: `RELAY_KAFKA_LINGER_MS` is `linger.ms`."""
    name = variable.removeprefix(prefix).lower()
    return name if name in _UNDERSCORED else name.replace("_", ".")


def refusal(name: str) -> str | None:
    """Say why a property may not be set, or return None when librdkafka may judge it."""
    if reason := GUARDED.get(name):
        return f"guards a promise and may not be set: {reason}"
    if name.startswith("test."):
        return "guards a promise and may not be set: librdkafka's own test broker forgets what it acknowledged"
    if name.endswith("_cb") or name in ("on_delivery", "logger"):
        return f"may not be set: {_CODE}"
    return None


def as_text(value: object) -> str | None:
    """Turn a TOML value into the text that Kafka takes, or return None when it is neither text, number nor boolean."""
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, str | int | float) else None


def nearest(name: str, known: Iterable[str], spell: Callable[[str], str] = str) -> str:
    """Suggest the known name nearest to an unknown one, as the end of a sentence; empty when none is near."""
    found = get_close_matches(name, list(known), n=1, cutoff=0.6)
    return f"; did you mean {spell(found[0])}?" if found else ""


def unfit(complaint: str) -> SettingsError:
    """Turn librdkafka's refusal to make a client into an error for whoever wrote `[kafka]`.

    Args:
        complaint: the text of the error, such as `KafkaError.str()` of a `KafkaException`.
    """
    text = " ".join(complaint.split())
    head, found, name = text.partition('No such configuration property: "')
    if found and not head:
        name = name.rstrip('"')
        return SettingsError(
            f"[kafka] {name} (or {VARIABLE}{name.upper().replace('.', '_')}) is not a property that librdkafka knows"
            + nearest(name, KNOWN)
        )
    return SettingsError(f"librdkafka refuses the properties of [kafka] (or {VARIABLE}…): {text}")
