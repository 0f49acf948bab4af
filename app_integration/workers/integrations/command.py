"""`python -m app_integration webhook`: who is told of business events, and what became of that."""
# ruff: noqa: PLC0415 - see app_integration.workers.command

import json as json_format
import os
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Annotated

import typer

from app_integration.workers import command_line
from relay.errors import UserMistake

app = typer.Typer(
    help="Subscribers' endpoints, which business events are posted to (Standard Webhooks).",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

Id = Annotated[int, typer.Argument(metavar="ENDPOINT", help="Its number, as `webhook list` shows it.")]


def main(arguments: list[str]) -> int:
    """Run the command line; return the exit code."""
    return command_line.run(app, "webhook", arguments)


@app.command(epilog="The secret is made here and shown once, or read from WEBHOOK_SECRET or WEBHOOK_SECRET_FILE.")
def add(
    url: Annotated[str, typer.Argument(metavar="URL", help="Where events are posted; https.")],
    types: Annotated[
        list[str] | None, typer.Option("--type", help="An event's name, with or without version; repeatable. Else all.")
    ] = None,
    allow_private: Annotated[
        bool, typer.Option("--allow-private", help="It may be in our own network, and plain http.")
    ] = False,
) -> None:
    """Add an endpoint."""
    from app_integration.workers.integrations import endpoints
    from app_integration.workers.settings import SecretSettings

    secret = SecretSettings.load(os.environ).secret or None
    with command_line.session() as connection:
        id_, made = endpoints.add(connection, url, types=types or (), secret=secret, allow_private=allow_private)
    typer.echo(f"endpoint {id_} is added")
    if secret is None:
        typer.echo(f"secret (not shown again): {made}")


@app.command("list")
def show(json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """Show all endpoints and how they are doing."""
    from app_integration.workers.integrations import endpoints

    with command_line.session() as connection:
        found = endpoints.endpoints(connection)
    if json:
        typer.echo(json_format.dumps([asdict(one) for one in found], indent=2, default=datetime.isoformat))
        return
    for one in found:
        state = f"disabled: {one.disabled_why}" if one.disabled_at else "enabled"
        failing = f", failing since {one.failing_since:%Y-%m-%d %H:%M}Z" if one.failing_since else ""
        typer.echo(
            f"{one.id}  {one.url}  {', '.join(one.types) or 'all events'}  {state}{failing}; "
            f"{one.pending} pending, {one.dead} given up"
        )
    typer.echo(f"{len(found)} endpoints")


@app.command()
def disable(endpoint: Id, why: Annotated[str, typer.Option("--why", help="To be shown.")] = "by an operator") -> None:
    """Post nothing more to an endpoint; what is for it is kept."""
    from app_integration.workers.integrations import endpoints

    with command_line.session() as connection:
        endpoints.disable(connection, endpoint, why)
    typer.echo(f"endpoint {endpoint} is disabled")


@app.command()
def enable(endpoint: Id) -> None:
    """Post to an endpoint again, what was kept first."""
    from app_integration.workers.integrations import endpoints

    with command_line.session() as connection:
        endpoints.enable(connection, endpoint)
    typer.echo(f"endpoint {endpoint} is enabled")


@app.command(epilog="The new secret is made here and shown once, or read from WEBHOOK_SECRET or WEBHOOK_SECRET_FILE.")
def rotate(
    endpoint: Id,
    overlap: Annotated[
        str, typer.Option("--overlap", help="How long deliveries are signed with the old secret too: 24h, 7d, 0.")
    ] = "24h",
) -> None:
    """Give an endpoint another secret; 0 as overlap where the old one is known to somebody else."""
    from app_integration.workers.integrations import endpoints
    from app_integration.workers.settings import SecretSettings
    from relay.configuration import duration

    try:
        seconds = duration.seconds(overlap)
    except ValueError:
        raise UserMistake(f"--overlap is {overlap!r}; allowed: {duration.ALLOWED}") from None
    secret = SecretSettings.load(os.environ).secret or None
    with command_line.session() as connection:
        made = endpoints.rotate(connection, endpoint, overlap=seconds, secret=secret)
    typer.echo(f"endpoint {endpoint} has another secret; the old one is good for another {duration.text(seconds)}")
    if secret is None:
        typer.echo(f"secret (not shown again): {made}")


@app.command()
def remove(
    endpoint: Id, yes: Annotated[bool, typer.Option("--yes", help="Needed where deliveries are pending.")] = False
) -> None:
    """Forget an endpoint, with all that was for it."""
    from app_integration.workers.integrations import endpoints

    with command_line.session() as connection:
        pending = endpoints.remove(connection, endpoint, pending_too=yes)
    typer.echo(f"endpoint {endpoint} is removed, and {pending} deliveries with it that were not made")


@app.command()
def replay(
    endpoint: Id,
    dead: Annotated[bool, typer.Option("--dead", help="Those that were given up.")] = False,
    ids: Annotated[list[str] | None, typer.Option("--id", help="Those of an event, by ce_id; repeatable.")] = None,
    since: Annotated[
        str | None, typer.Option("--since", metavar="TIME", help="All that came since; ISO 8601, UTC unless it says.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say how many it would be.")] = False,
) -> None:
    """Deliver once more what was delivered or given up, under the same webhook-id."""
    from app_integration.workers.integrations import endpoints

    if not (dead or ids or since):
        raise UserMistake("say which: --dead, --id ID or --since TIME")
    with command_line.session() as connection:
        count = endpoints.replay(connection, endpoint, ids=ids, since=_time(since), dead=dead, dry_run=dry_run)
    typer.echo(f"{count} deliveries {'would be made once more; nothing was changed' if dry_run else 'are due again'}")


def _time(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        read = datetime.fromisoformat(text)
    except ValueError:
        raise UserMistake(f"--since is {text!r}; allowed: a time such as 2026-01-31T12:00") from None
    return read if read.tzinfo else read.replace(tzinfo=UTC)
