"""How settings are loaded: the environment beats the file, the file beats the defaults; and whose words an error uses.

Guarantees: what `load` returns is valid; an error names the variable or the key as its writer knows it, what was found
and what is allowed, and all that is wrong is told at once. No error shows a password.
"""

from collections.abc import Collection, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from relay.configuration import secret_file
from relay.configuration.kafka_properties import nearest
from relay.configuration.settings import FIELDS, KAFKA_NAME, Settings, Topic, allowed
from relay.configuration.sources import Source, from_environment, from_file
from relay.errors import SettingsError

DEFAULT_FILE = Path("relay.toml")

_MISSING = {
    "database_url": "DATABASE_URL is not set: the PostgreSQL of the outbox, "
    "such as postgresql://relay:password@localhost:5432/shop (also: DATABASE_URL_FILE, a file with it; "
    "database_url in [relay] of relay.toml)",
    "kafka_brokers": "KAFKA_BROKERS is not set: where Kafka is, "
    "such as localhost:9092 (also: kafka_brokers in [relay] of relay.toml)",
}


def load(
    environ: Mapping[str, str],
    *,
    config_file: Path | None = None,
    needs: Collection[str] = ("database_url", "kafka_brokers"),
) -> Settings:
    """Load the settings: the environment beats the file, the file beats the defaults.

    Args:
        environ: the environment.
        config_file: the settings file; else `RELAY_CONFIG`, else `relay.toml` in the working directory if there is one.
        needs: the fields without which the caller cannot work; others may be empty.

    Raises:
        SettingsError: with everything that is wrong, a line each.
    """
    path = config_file or (Path(environ["RELAY_CONFIG"]) if environ.get("RELAY_CONFIG") else None)
    sources = [from_environment(environ, FIELDS)]
    if path or DEFAULT_FILE.exists():
        sources.insert(0, from_file(path or DEFAULT_FILE, FIELDS))
    problems = [problem for source in sources for problem in source.problems]
    given: dict[str, Any] = {"kafka": {}, "topics": {}, "secrets": {}}
    for source in sources:
        _merge(given, source, problems)
    named = {name for source in sources for name in source.relay}
    problems += [_MISSING[name] for name in needs if name not in named]
    if problems:
        raise SettingsError("\n".join(problems))
    return Settings.model_construct(**given)


def renewed(settings: Settings) -> Settings:
    """Read the secrets that stand in files once more: whoever connects anew does so with what is in them by now.

    Raises:
        SettingsError: a file is missing, empty or may be read by everybody, or what is in it makes no sense.
    """
    if not settings.secrets:
        return settings
    found = {name: secret_file.read(path, name) for name, path in settings.secrets.items()}
    url = found.pop("database_url", None)
    try:
        address = {} if url is None else {"database_url": Settings(database_url=url).database_url}
    except ValidationError:
        path = settings.secrets["database_url"]
        raise SettingsError(
            f"what is in {path} is no database_url; allowed: {allowed(Settings, 'database_url')}"
        ) from None
    return settings.model_copy(update={**address, "kafka": {**settings.kafka, **found}})


def _merge(given: dict[str, Any], source: Source, problems: list[str]) -> None:
    """Judge what a source says, and lay it over what earlier ones said."""
    logical = dict(_named(source, problems))
    try:
        settings = Settings.model_validate({**source.relay, "topics": logical}, strict=source.strict)
    except ValidationError as error:
        problems += [_problem(source, details) for details in error.errors(include_url=False)]
        return
    given.update({name: getattr(settings, name) for name in source.relay})
    # What is given as a value by this source is not read from the file that an earlier one named.
    kept = {name: path for name, path in given["secrets"].items() if name not in source.relay | source.kafka}
    given["secrets"] = kept | source.secrets
    given["kafka"] |= source.kafka
    given["topics"] |= settings.topics


def _named(source: Source, problems: list[str]) -> Iterator[tuple[str, Any]]:
    """Give every topic its name in Kafka, which is the logical one unless set."""
    for logical, table in source.topics.items():
        if KAFKA_NAME.fullmatch(logical):
            yield logical, {"name": logical, **table} if isinstance(table, dict) else table
        else:
            label = source.label("topics", logical)
            problems.append(f"{label} is not a topic's name; allowed: {allowed(Topic, 'name')}")


def _problem(source: Source, details: Any) -> str:
    """Put one of pydantic's complaints into the words of whoever wrote the value."""
    path = [str(part) for part in details["loc"]]
    label = partial(source.label, *path[:3])
    if path[0] == "topics":
        return _topic_problem(label(), path, details)
    found = "not what it should be" if path[0] == "database_url" else repr(details["input"])
    return f"{label()} is {found}; allowed: {allowed(Settings, path[0])}"


def _topic_problem(label: str, path: list[str], details: Any) -> str:
    known = tuple(Topic.model_fields)
    if len(path) == 2:  # noqa: PLR2004 - the path of a topic itself
        return f"{label} is {details['input']!r}; allowed: a table with any of {', '.join(known)}"
    if details["type"] != "extra_forbidden":
        return f"{label} is {details['input']!r}; allowed: {allowed(Topic, path[2])}"
    if isinstance(details["input"], dict):
        return f'{label} is a table: a logical name with dots needs quotes, [topics."{path[1]}.{path[2]}"]'
    return f"{label} is not a topic's setting{nearest(path[2], known) or '; known are ' + ', '.join(known)}"
