"""`python -m app_integration worker`: runs workers, makes their schema, and handles dead messages again.

Exit codes: 0 done, also after SIGTERM; 1 the work failed; 2 the user's mistake. A traceback is always a bug.
"""
# ruff: noqa: PLC0415 - each command imports what it needs, so that `--help` is quick

import json as json_format
import os
import sys
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

from app_integration.workers import command_line
from app_integration.workers.catalogue import CATALOGUE, find, own
from relay.errors import UserMistake
from relay.printable import counted

if TYPE_CHECKING:
    from app_integration.workers.worker import Worker

EPILOG = "Settings come from the environment: DATABASE_URL, KAFKA_BROKERS, WORKER_…, SMTP_…; see docs/workers.md."

app = typer.Typer(
    name="worker",
    help="Act on published messages: each is handled at least once, and has its effect once.",
    epilog=EPILOG,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def main(arguments: list[str]) -> int:
    """Run the command line; return the exit code."""
    return command_line.run(app, "worker", arguments)


def _command(name: str) -> Callable[[], None]:
    def start() -> None:
        worker, beside = find(name)(os.environ)
        _work(worker, *beside)

    return start


for _name, _entry in CATALOGUE.items():
    app.command(_name, help=f"Run the worker that {_entry.about}.")(_command(_name))


@app.command("run")
def run_own(
    place: Annotated[str, typer.Argument(metavar="MODULE:NAME", help="Where the Worker is, as shop.search:search.")],
) -> None:
    """Run a worker of your own."""
    sys.path.insert(0, os.getcwd())  # noqa: PTH109 - as `python -m` does
    _work(own(place))


def _work(worker: "Worker", *beside: object) -> None:
    from app_integration.workers import daemon, telemetry
    from app_integration.workers.catalogue import import_all
    from app_integration.workers.settings import Settings

    settings = Settings.load(os.environ)
    import_all(settings.contracts)
    telemetry.configure()
    if settings.topic:
        worker = replace(worker, topics=(settings.topic,))
    daemon.run(worker, settings, beside=beside)  # type: ignore[arg-type]


@app.command()
def migrate(
    down: Annotated[bool, typer.Option("--down", help="Take the tables away, with all that is in them.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Needed with --down: it deletes the audit log too.")] = False,
) -> None:
    """Bring the workers' schema in PostgreSQL to this version."""
    from app_integration.variables import database_url
    from app_integration.workers import migrate as migrations

    if down and not yes:
        raise UserMistake("--down deletes inboxes, notifications, counts, webhooks and the audit log; add --yes")
    (migrations.downgrade if down else migrations.upgrade)(database_url(os.environ))
    typer.echo("the workers' tables are gone" if down else "the workers' schema is current")


Consumer = Annotated[str, typer.Argument(metavar="CONSUMER", help="The worker's name, as email.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command()
def dead(consumer: Consumer, json: Json = False) -> None:
    """Show what a worker has given up, and why."""
    from app_integration.workers import operate

    with command_line.session() as connection:
        found = operate.dead(connection, consumer)
    if json:
        rows = [
            {**{name: getattr(one, name) for name in one.__slots__}, "since": one.since.isoformat()} for one in found
        ]
        typer.echo(json_format.dumps(rows, indent=2))
        return
    for one in found:
        place = f"{one.topic}/{one.partition} at {one.offset}"
        typer.echo(f"{one.id}  {one.since:%Y-%m-%d %H:%M:%S}Z  {place}  attempt {one.attempts}: {one.error}")
    typer.echo(f"{len(found)} dead messages of {consumer}")


Ids = Annotated[list[str] | None, typer.Option("--id", help="A message's ce_id; may be repeated.")]
Everything = Annotated[bool, typer.Option("--all", help="All dead messages of this worker.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only say how many it would be.")]


@app.command()
def replay(consumer: Consumer, ids: Ids = None, everything: Everything = False, dry_run: DryRun = False) -> None:
    """Have dead messages handled again, with all their attempts before them."""
    from app_integration.workers import operate

    chosen = _chosen(ids, everything)
    with command_line.session() as connection:
        if dry_run:
            count = len(operate.dead(connection, consumer, chosen))
        else:
            count = operate.replay(connection, consumer, chosen)
    told = "to be handled again; nothing was changed" if dry_run else "handled again by a running worker"
    typer.echo(f"{counted(count, 'message')} of {consumer} {told}")


@app.command()
def discard(
    consumer: Consumer,
    why: Annotated[str, typer.Option("--why", help="Is kept with each, and who did it.")],
    ids: Ids = None,
    everything: Everything = False,
    dry_run: DryRun = False,
) -> None:
    """Give dead messages up for good: their copies go, and they are never handled."""
    from app_integration.workers import operate

    chosen = _chosen(ids, everything)
    if not why.strip() or not why.isprintable():
        raise UserMistake(f"--why is {why!r}; allowed: a reason in a line, which is kept")
    with command_line.session() as connection:
        if dry_run:
            count = len(operate.dead(connection, consumer, chosen))
        else:
            count = operate.discard(connection, consumer, why, chosen)
    told = "to be discarded; nothing was changed" if dry_run else "discarded"
    typer.echo(f"{counted(count, 'message')} of {consumer} {told}")


def _chosen(ids: list[str] | None, everything: bool) -> list[str] | None:
    if bool(ids) == everything:
        raise UserMistake("say which: --id ID, as often as needed, or --all")
    return ids or None
