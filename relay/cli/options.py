"""What several commands of the command line share: options, and how settings are read."""
# ruff: noqa: PLC0415 - see relay.cli

import os
from collections.abc import Collection
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from relay.settings import Settings

Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]

DATABASE = ("database_url",)
KAFKA = ("kafka_brokers",)
BOTH = DATABASE + KAFKA


def settings_of(context: typer.Context, needs: Collection[str]) -> "Settings":
    """Read the settings.

    Args:
        context: of a command; the file that `--config` names is its object.
        needs: the settings that must be there.

    Raises:
        SettingsError: something is missing or malformed.
    """
    from relay.settings import load

    return load(os.environ, config_file=context.obj, needs=needs)
