"""The command line: turns arguments into calls, and their outcome into an exit code. Everything else is elsewhere.

Exit codes: 0 done, 1 the work failed, 2 the user's mistake (arguments, settings, set-up), 130 interrupted by Ctrl-C.
An error that the relay raises on purpose is shown as its text; a traceback is always a bug. Each command imports what
it needs, so that `--help` is quick and a running relay carries nothing that it does not use.
"""
# ruff: noqa: PLC0415 - each command imports what it needs, see above

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from relay import __version__
from relay.bench.parts import CATALOGUE
from relay.cli import acts as cli_acts
from relay.cli import operators as cli_operate
from relay.cli.consent import agree, demand_agreement
from relay.cli.options import BOTH, DATABASE, KAFKA, Json, log_as_set, settings_of
from relay.errors import RelayError, UserMistake
from relay.printable import counted, quoted

EPILOG = (
    "Settings come from the environment (DATABASE_URL, KAFKA_BROKERS, RELAY_…) and from relay.toml; the environment "
    "wins. Exit codes: 0 done, 1 the work failed, 2 your mistake (arguments, settings, set-up), 130 Ctrl-C."
)

app = typer.Typer(
    name="relay",
    help="Publish committed rows of outbox.message to Kafka: each at least once, none rolled back, in order per key.",
    epilog=EPILOG,
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

Wait = Annotated[
    float,
    typer.Option(
        "--wait",
        metavar="SECONDS",
        min=0,
        help="For how long an unreachable database or broker is waited for at the start; with 0 it ends at once.",
    ),
]


def main() -> None:
    """Run the command line and end the process with its exit code."""
    try:
        _demand_text(sys.argv[1:])
        app()
    except RelayError as error:
        typer.echo(f"relay: {error}", err=True)
        sys.exit(exit_code(error))


def _demand_text(arguments: Sequence[str]) -> None:
    """Go on only with arguments that are text, for no topic, key or reason is anything else."""
    for argument in arguments:
        try:
            argument.encode()
        except UnicodeEncodeError:
            raise UserMistake(f"the argument {quoted(argument)} is not UTF-8 text; nothing was done") from None


def exit_code(error: RelayError) -> int:
    """Return 2 for what the user must mend, 1 for work that failed."""
    return 2 if isinstance(error, UserMistake) else 1


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"relay {__version__}")
        raise typer.Exit


@app.callback()
def options(
    context: typer.Context,
    config: Annotated[
        Path | None,
        typer.Option("--config", metavar="FILE", help="The settings file; else RELAY_CONFIG, else ./relay.toml."),
    ] = None,
    _version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and end.")
    ] = False,
) -> None:
    """Take the options that stand before every command."""
    context.obj = config


@app.command(epilog="Change the schema as its owner; the relay itself needs fewer rights (see relay doctor).")
def migrate(
    context: typer.Context,
    *,
    check: Annotated[
        bool, typer.Option("--check", help="Only say whether the schema is current; exit 2 if not.")
    ] = False,
    sql: Annotated[bool, typer.Option("--sql", help="Print the SQL instead of running it; needs no database.")] = False,
    down: Annotated[
        bool, typer.Option("--down", help="Take the schema away; refused while anything is unsent.")
    ] = False,
    shards: Annotated[
        int | None,
        typer.Option(metavar="N", min=1, max=256, help="Shards of a new schema, fixed for good.", show_default="16"),
    ] = None,
    no_roles: Annotated[
        bool,
        typer.Option("--no-roles", help="Leave outbox_application, outbox_relay and outbox_operator and rights alone."),
    ] = False,
) -> None:
    """Bring the outbox schema in PostgreSQL to this version, and its roles to their rights."""
    from relay import migrate as migrations
    from relay.revision import moved

    if check + sql + down > 1:
        raise typer.BadParameter("--check, --sql and --down exclude each other")
    if shards is not None and (check or down):
        raise typer.BadParameter("--shards goes with making the schema, not with --check or --down")
    if no_roles and (check or down):
        raise typer.BadParameter("--no-roles goes with making the schema, not with --check or --down")
    if sql:
        typer.echo(migrations.sql(shards=shards, roles=not no_roles))
        return
    database_url = settings_of(context, DATABASE).database_url
    before = migrations.check(database_url)
    if check:
        before.demand()
    elif down:
        migrations.downgrade(database_url)
    else:
        migrations.upgrade(database_url, shards=shards, roles=not no_roles)
    after = before if check else migrations.check(database_url)
    typer.echo("the outbox schema is gone" if down else f"the outbox schema {moved(before.current, after.current)}")


@app.command(epilog="SIGTERM or Ctrl-C: what is in flight is finished and recorded, within 10 seconds; exit code 0.")
def run(context: typer.Context, wait: Wait = 0.0) -> None:
    """Relay until told to stop."""
    from relay import daemon

    settings = settings_of(context, BOTH)
    log_as_set(settings)
    daemon.run(settings, wait=wait)


@app.command(epilog="Shards that other running relays hold are theirs to publish, and are waited for.")
def drain(context: typer.Context, wait: Wait = 0.0) -> None:
    """Relay until nothing is due, then end."""
    from relay import daemon
    from relay.cli.drain_bar import drain_bar

    settings = settings_of(context, BOTH)
    with drain_bar(settings.database_url) as progress:
        # Only now: the bar has put itself before standard error, so that log lines appear above it.
        log_as_set(settings)
        count = daemon.drain(settings, wait=wait, progress=progress)
    typer.echo(f"published {counted(count, 'message')}")


@app.command()
def status(context: typer.Context, json: Json = False) -> None:
    """Show what is pending, how old it is, and which relay holds which shard."""
    from relay.watching.status import read

    settings = settings_of(context, DATABASE)
    found = read(settings.database_url, disk_budget=settings.disk_bytes)
    if json:
        from relay.show_json import show_json

        show_json(found)
    else:
        from relay.cli import show

        show.status(found)


@app.command(epilog="A running relay does this by itself. Exit code 1: a slot that is old enough is in use; try again.")
def prune(
    context: typer.Context,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be done.")] = False,
    retention: Annotated[
        str | None,
        typer.Option(
            metavar="TIME",
            help="Keep what was sent this long, such as 36h; 0 is no longer than needed.",
            show_default="the setting",
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Give back the disk space of messages that were sent long enough ago."""
    from relay.configuration import duration
    from relay.retention.prune import Fate, run

    settings = settings_of(context, DATABASE)
    try:
        seconds = duration.seconds(settings.retention if retention is None else retention)
    except ValueError as error:
        raise typer.BadParameter(f"--retention is {error}") from None
    done = run(settings.database_url, seconds, dry_run=dry_run)
    if json:
        from relay.show_json import show_json

        show_json(done.as_json())
    else:
        from relay.cli.show_pruned import show_pruned

        show_pruned(done)
    raise typer.Exit(1 if done.of(Fate.BUSY) else 0)


cli_operate.register(app)
cli_acts.register(app)


@app.command()
def topics(
    context: typer.Context,
    json: Json = False,
    create: Annotated[
        bool, typer.Option("--create", help="Make the missing ones, with the configured partitions and settings.")
    ] = False,
) -> None:
    """Show which topic goes where, and what exists in Kafka."""
    from relay.cli import show
    from relay.publishing import topics as kafka_topics
    from relay.show_json import show_json

    settings = settings_of(context, KAFKA)
    made = kafka_topics.create(settings) if create else []
    found = kafka_topics.read(settings)
    if json:
        show_json({"created": made, "topics": [state.as_json() for state in found]})
    else:
        show.topics(found, made, strict=settings.strict_topics)


@app.command(epilog="Exit codes: 0 all is well (warnings allowed), 2 something must be mended, 1 a server is silent.")
def doctor(
    context: typer.Context,
    json: Json = False,
    settings_only: Annotated[
        bool, typer.Option("--settings-only", help="Ask no server: check what is set, before it is deployed.")
    ] = False,
) -> None:
    """Check everything that a relay needs, and say how to mend what is wrong."""
    from relay.cli import show
    from relay.show_json import show_json
    from relay.watching import doctor as checks
    from relay.watching.findings import exit_code as severity
    from relay.watching.preflight import examine_settings

    findings = []
    examine = examine_settings if settings_only else checks.examine
    for finding in examine(settings_of(context, BOTH)):
        findings.append(finding)
        if not json:
            show.finding(finding)
    if json:
        show_json({"findings": [finding.as_json() for finding in findings]})
    raise typer.Exit(severity(findings))


@app.command(epilog="Run it as the owner of the schema, with all relays of this database stopped.")
def rebase(
    context: typer.Context,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be done; change nothing.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask; needed where there is no terminal.")] = False,
    why: Annotated[
        str, typer.Option("--why", metavar="TEXT", help="What to record of the reason in outbox.operator_act.")
    ] = "",
) -> None:
    """Let relays begin anew after a restore from a dump, pg_upgrade or a restarted sequence; nothing is lost."""
    from relay.restoring import rebase as rebasing

    if not dry_run:
        demand_agreement(yes=yes)
    database_url = settings_of(context, DATABASE).database_url
    plan = rebasing.look(database_url)
    for line in plan.explain():
        typer.echo(line)
    if dry_run:
        typer.echo("nothing was changed (--dry-run)")
        return
    agree("Go on?", yes=yes)
    done = rebasing.rebase(database_url, why or "; ".join(plan.causes))
    typer.echo(
        f"written anew: {counted(done.messages, 'message')}; writers waited for {done.seconds:.1f} s; start the relays"
    )


@app.command()
def demo() -> None:
    """Show the whole at work for a minute: real PostgreSQL and Kafka, two relays, one of them killed."""
    from relay.demo import run as show_at_work

    raise typer.Exit(show_at_work())


@app.command(
    epilog="\n\n".join(
        (
            "The parts:",
            *(f"{part.name}: {part.about}" for part in CATALOGUE),
            "Nothing that exists is touched: it works in databases and topics of its own, removed at the end.",
            "Servers that are not named are started. Let nothing else run meanwhile.",
            "Exit codes: 0 measured, also when a goal is missed; 1 a server failed; 2 your mistake; 130 Ctrl-C.",
        )
    )
)
def bench(
    context: typer.Context,
    parts: Annotated[
        list[str] | None,
        typer.Argument(metavar="[PART]...", help="What to measure, of the parts below; all of them if none is named."),
    ] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="Only show that all of it works: the figures of a few seconds mean little.")
    ] = False,
    plot: Annotated[
        Path | None, typer.Option("--plot", metavar="FILE", help="Draw the figures with goals too, as .svg or .png.")
    ] = None,
    json: Json = False,
) -> None:
    """Measure speed and cost, each figure beside its reference, in ten minutes."""
    from relay.bench.command import bench as measure

    raise typer.Exit(measure(settings_of(context, ()), tuple(parts or ()), quick=quick, plot=plot, json=json))
