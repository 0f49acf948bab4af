"""What the command lines of workers share: how they end, and the session that an operator's command has.

Exit codes: 0 done, 1 the work failed, 2 the user's mistake. What this package raises on purpose is shown as its text.
"""
# ruff: noqa: PLC0415 - see app_integration.workers.command

import os
from typing import TYPE_CHECKING

import typer

from relay.errors import RelayError, UserMistake, WorkFailed

if TYPE_CHECKING:
    from app_integration.workers.worker import Connection


def run(commands: typer.Typer, name: str, arguments: list[str]) -> int:
    """Run a command line of this package, whose errors end in lines and an exit code."""
    from app_integration.workers.verdict import Outage

    try:
        commands(arguments, prog_name=f"python -m app_integration {name}")
    except (RelayError, Outage) as error:
        for line in str(error).splitlines():
            typer.echo(f"{name}: {line}", err=True)
        return 2 if isinstance(error, UserMistake) else 1
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else 0
    return 0


def session() -> "Connection":
    """Open a session for an operator's command, where the schema is current."""
    from app_integration.variables import database_url
    from app_integration.workers import database, migrate
    from app_integration.workers.verdict import Outage

    try:
        connection = database.connect(database_url(os.environ), "operator")
    except Outage as outage:
        raise WorkFailed(str(outage)) from None
    try:
        migrate.demand(connection)
    except RelayError:
        connection.close()
        raise
    return connection
