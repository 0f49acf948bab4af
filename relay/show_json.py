"""How the command line answers programs. Apart from `relay.cli.show`, for tables take a tenth of a second to import."""

import json
from typing import Any

import typer


def show_json(value: Any) -> None:
    """Print a value as JSON."""
    typer.echo(json.dumps(value, indent=2))
