"""The commands of who looks after held messages: failed, replay, discard. Thin, as `relay.cli.main` is.

Guarantees: nothing is done that was not shown first and agreed to, by an answer or by `--yes`. Where nobody can be
asked, nothing is done.
"""
# ruff: noqa: PLC0415 - see relay.cli

from typing import Annotated

import typer

from relay.cli.consent import agree, demand_answers, reason
from relay.cli.options import DATABASE, Json, settings_of
from relay.operators.choice import FAILED, HELD, TIMES, Choice, read
from relay.printable import counted

Ids = Annotated[list[str] | None, typer.Argument(metavar="ID", help="Messages by their ids, and no others.")]
Topic = Annotated[str | None, typer.Option(metavar="TOPIC", help="Those of a topic.")]
Key = Annotated[str | None, typer.Option(metavar="KEY", help="Those of a key; goes with --topic.")]
Error = Annotated[str | None, typer.Option(metavar="TEXT", help="Those whose error has this code, or this text in it.")]
State = Annotated[str | None, typer.Option(metavar="STATE", help=f"Those in a state: {', '.join(HELD)}.")]
FailedState = Annotated[
    str | None, typer.Option("--state", metavar="STATE", help=f"Those in a state: {', '.join(FAILED)}.")
]
After = Annotated[
    str | None,
    typer.Option("--after", metavar="TIME", help=f"Those that are held (with --sent: were sent) since {TIMES}."),
]
Before = Annotated[
    str | None,
    typer.Option("--before", "--older-than", metavar="TIME", help="Those that are held, or were sent, before then."),
]
All = Annotated[bool, typer.Option("--all", help="Of every topic.")]
Why = Annotated[
    str | None, typer.Option(metavar="TEXT", help="The reason, recorded with the act; else it is asked for.")
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only show what would be done.")]

CODES = (
    "Exit codes: 0 done, or nothing to do; 1 the answer was no, or a server failed; 2 your mistake, nothing was done."
)


def register(app: typer.Typer) -> None:
    """Add these commands to the command line."""
    app.command(epilog="What only waits behind others, or is scheduled, is shown by --state.")(failed)
    app.command(epilog=f"Safe while relays run. What waits behind a message follows it by itself. {CODES}")(replay)
    app.command(epilog=f"Safe while relays run. What is discarded is never sent; this is final. {CODES}")(discard)


def failed(
    context: typer.Context,
    *,
    topic: Topic = None,
    key: Key = None,
    error: Error = None,
    state: State = None,
    after: After = None,
    before: Before = None,
    group: Annotated[bool, typer.Option("--group", help="Only how many of each topic, state and error.")] = False,
    limit: Annotated[int, typer.Option(metavar="N", min=0, help="How many to list one by one.")] = 20,
    json: Json = False,
) -> None:
    """Show which messages have failed: how many, since when, why, and what waits behind them."""
    from relay.operators import failed as held
    from relay.operators.operating import session

    named = (topic, key, error, state, after, before)
    choice = read(
        None,
        topic=topic,
        key=key,
        error=error,
        state=state,
        after=after,
        before=before,
        everything=all(value is None for value in named),
    )
    with session(settings_of(context, DATABASE).database_url) as connection:
        found = held.read(connection, choice, limit=0 if group else limit)
    if json:
        from relay.show_json import show_json

        show_json(found.as_json())
    else:
        from relay.cli import show_held

        show_held.failed(found, grouped=group)


def replay(
    context: typer.Context,
    *,
    ids: Ids = None,
    topic: Topic = None,
    key: Key = None,
    error: Error = None,
    state: FailedState = None,
    after: After = None,
    before: Before = None,
    everything: All = False,
    sent: Annotated[
        bool,
        typer.Option("--sent", help="Publish sent messages once more, with a header ce_replay, while they are kept."),
    ] = False,
    force: Annotated[
        bool,
        typer.Option("--force", help="With --sent: a header ce_force asks consumers to handle them though they have."),
    ] = False,
    why: Why = None,
    yes: Yes = False,
    dry_run: DryRun = False,
    json: Json = False,
) -> None:
    """Send again what has failed, at once and in order."""
    choice = read(
        ids,
        states=FAILED,
        topic=topic,
        key=key,
        error=error,
        state=state,
        after=after,
        before=before,
        everything=everything,
        sent=sent,
        force=force,
    )
    _act(context, "replay", choice, why=why, yes=yes, dry_run=dry_run, json=json)


def discard(
    context: typer.Context,
    *,
    ids: Ids = None,
    topic: Topic = None,
    key: Key = None,
    error: Error = None,
    state: State = None,
    after: After = None,
    before: Before = None,
    everything: All = False,
    why: Why = None,
    yes: Yes = False,
    dry_run: DryRun = False,
    json: Json = False,
) -> None:
    """Give messages up for good: what has failed, or, by id or --state, what only waits."""
    choice = read(
        ids, topic=topic, key=key, error=error, state=state, after=after, before=before, everything=everything
    )
    _act(context, "discard", choice, why=why, yes=yes, dry_run=dry_run, json=json)


def _act(
    context: typer.Context, act: str, choice: Choice, *, why: str | None, yes: bool, dry_run: bool, json: bool
) -> None:
    from relay.cli import show_held
    from relay.cli.bar import bar
    from relay.operators import operate
    from relay.operators.operating import session
    from relay.show_json import show_json

    if not dry_run:
        demand_answers(why, yes=yes)
    database_url = settings_of(context, DATABASE).database_url
    with session(database_url) as connection:
        plan = operate.plan(connection, operate.Act(act), choice)
    if not json or not yes:
        show_held.plan(plan, to_errors=json)
    done = operate.Done(None, 0)
    if plan.messages and not dry_run:
        why = reason(why)
        agree(f"{plan.act} {counted(plan.messages, 'message')}?", yes=yes)
        with session(database_url) as connection, bar(f"{act}ed", lambda: plan.messages) as progress:
            done = operate.carry_out(connection, plan, why, progress)
        if not json:
            show_held.done(plan, done)
    if json:
        show_json({**plan.as_json(), "number": done.number, "done": done.messages, "dry_run": dry_run})
