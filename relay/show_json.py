"""How the command line answers programs. Apart from `relay.cli.show`, for tables take a tenth of a second to import."""

import json
from dataclasses import asdict, is_dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import typer


def show_json(value: Any) -> None:
    """Print a value as JSON: dataclasses by their fields, times as ISO 8601 in UTC, ids as text."""
    typer.echo(json.dumps(value, indent=2, default=_plain))


def _plain(value: object) -> Any:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat()
    if isinstance(value, UUID):
        return str(value)
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    raise TypeError(f"{type(value).__name__} has no JSON form")
