"""librdkafka's properties as variables of workers and real-time servers: WORKER_KAFKA_SASL_PASSWORD is `sasl.password`.

Each may stand in a file, as every secret may. Those that guard a promise, or have a setting of their own, are refused,
and no error repeats a value.
"""

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager

from confluent_kafka import KafkaException

from app_integration.variables import FILE, read
from relay.configuration.kafka_properties import from_variable
from relay.errors import SettingsError


def read_properties(
    environ: Mapping[str, str], prefix: str, guarded: Collection[str]
) -> tuple[dict[str, str], list[str]]:
    """Read the properties.

    Args:
        environ: all variables.
        prefix: how those meant begin, such as `WORKER_KAFKA_`.
        guarded: the properties that may not be set.

    Returns:
        The properties, and what is wrong, a sentence each.
    """
    properties: dict[str, str] = {}
    problems: list[str] = []
    for variable in dict.fromkeys(name.removesuffix(FILE) for name in sorted(environ) if name.startswith(prefix)):
        name = from_variable(variable, prefix)
        if name in guarded:
            problems.append(f"{variable} may not be set: {name} guards a promise, or has a setting of its own")
            continue
        try:
            value = read(environ, variable)
        except SettingsError as error:
            problems.append(str(error))
        else:
            properties |= {} if value is None else {name: value}
    return properties, problems


@contextmanager
def judged_by_the_client(prefix: str) -> Iterator[None]:
    """Make a client of Kafka in the block: what it says of its properties is said to whoever set them.

    Raises:
        SettingsError: librdkafka does not know a property, or does not take its value.
    """
    try:
        yield
    except KafkaException as error:
        raise SettingsError(f"librdkafka refuses the properties {prefix}…: {error.args[0].str()}") from None
