"""What several commands of the command line share: options, and how settings are read."""
# ruff: noqa: PLC0415 - see relay.cli

import os
from collections.abc import Collection
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from relay.configuration.settings import Settings

Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]

DATABASE = ("database_url",)
KAFKA = ("kafka_brokers",)
BOTH = DATABASE + KAFKA


def log_as_set(settings: "Settings") -> None:
    """Begin to log, in the form and from the level that the settings say, without any secret in them."""
    from relay.telemetry import logs
    from relay.telemetry.secrets import secrets_of

    logs.configure(settings.log_format, settings.log_level, relay=settings.name, secrets=secrets_of(settings))


def settings_of(context: typer.Context, needs: Collection[str]) -> "Settings":
    """Read the settings.

    Args:
        context: of a command; the file that `--config` names is its object.
        needs: the settings that must be there.

    Raises:
        SettingsError: something is missing or malformed.
    """
    from relay.configuration.loading import load

    return load(os.environ, config_file=context.obj, needs=needs)
