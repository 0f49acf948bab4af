"""The commands of who is in charge: pause, resume, limit, show, erase, relays, log. Thin, as `relay.cli.main` is."""
# ruff: noqa: PLC0415 - see relay.cli

import math
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from relay.cli.consent import agree, demand_answers, reason
from relay.cli.operators import CODES, Why, Yes
from relay.cli.options import DATABASE, Json, settings_of
from relay.errors import ChoiceError, RelayError, WorkFailed
from relay.operators.choice import TIMES, Choice, read
from relay.printable import counted, quoted

if TYPE_CHECKING:
    import psycopg

    from relay.configuration.settings import Settings
    from relay.operators.find import Place
    from relay.operators.message import Message


def complete_topic(incomplete: str) -> list[str]:
    """Complete a topic from the settings file; asks no server."""
    try:
        from relay.configuration.loading import load

        return sorted(topic for topic in load(os.environ, needs=()).topics if topic.startswith(incomplete))
    except RelayError:
        return []


OneTopic = Annotated[str, typer.Argument(metavar="TOPIC", help="A logical topic.", autocompletion=complete_topic)]
Unknown = Annotated[bool, typer.Option("--unknown", help="Also one of which nothing was enqueued lately.")]
Wait = Annotated[
    float,
    typer.Option("--wait", metavar="SECONDS", min=0, help="For how long to wait until all relays obey."),
]


def register(app: typer.Typer) -> None:
    """Add these commands to the command line."""
    # What begins with a hyphen may be a rate, which is then refused in words.
    numbers = {"ignore_unknown_options": True}
    app.command(epilog=f"Safe while relays run. {CODES}")(pause)
    app.command(epilog=f"Safe while relays run. {CODES}")(resume)
    app.command(epilog=f"Safe while relays run. {CODES}", context_settings=numbers)(limit)
    app.command()(show)
    app.command(epilog=f"Final. Kafka keeps its copy: docs/operations.md says what to do. {CODES}")(erase)
    app.command()(relays)
    app.command()(log)


def pause(
    context: typer.Context, topic: OneTopic, *, why: Why = None, unknown: Unknown = False, wait: Wait = 60.0
) -> None:
    """Publish nothing of a topic until it is resumed; nothing is lost, and other topics go on."""
    from relay.operators import acts

    settings = settings_of(context, DATABASE)
    with _asked(settings, topic, why, unknown=unknown) as (connection, reason):
        number = acts.pause(connection, topic, reason)
        said = "is paused already" if number is None else f"is paused (act {number})"
        _obeyed(connection, wait, f"topic {topic} {said}; nothing more of it is published")


def resume(context: typer.Context, topic: OneTopic, *, why: Why = None, wait: Wait = 60.0) -> None:
    """Let a paused topic go on: what waited goes first, in order."""
    from relay.operators import acts

    settings = settings_of(context, DATABASE)
    with _asked(settings, topic, why, unknown=False) as (connection, reason):
        number = acts.resume(connection, topic, reason)
        said = "was not paused" if number is None else f"is resumed (act {number})"
        _obeyed(connection, wait, f"topic {topic} {said}")


def limit(
    context: typer.Context,
    topic: OneTopic,
    rate: Annotated[str | None, typer.Argument(metavar="RATE", help="Messages a second, of all relays.")] = None,
    *,
    none: Annotated[bool, typer.Option("--none", help="Take the limit away.")] = False,
    why: Why = None,
    unknown: Unknown = False,
    wait: Wait = 60.0,
) -> None:
    """Publish no more of a topic in a second than its consumers can take."""
    from relay.operators import acts

    number = _rate(rate, none=none)
    settings = settings_of(context, DATABASE)
    with _asked(settings, topic, why, unknown=unknown) as (connection, reason):
        act = acts.limit(connection, topic, number, reason)
        said = _unlimited(settings, topic) if number is None else f"is limited to {number:g} messages/s"
        _obeyed(connection, wait, f"topic {topic} {said}" + (", as before" if act is None else f" (act {act})"))


def _unlimited(settings: "Settings", topic: str) -> str:
    """Say that an operator's limit is gone; the one of the settings, which it stood above, holds again."""
    rule = settings.topics.get(topic)
    if rule is None or rule.rate is None:
        return "has no limit"
    return f"has no limit of an operator's; that of the settings holds, {rule.rate:g} messages/s"


def _rate(text: str | None, *, none: bool) -> float | None:
    allowed = "allowed: messages a second, above 0, such as 500 or 0.5; or --none"
    if none == (text is not None):
        raise ChoiceError(f"{'RATE and --none are both given' if none else 'RATE is not given'}; {allowed}")
    if text is None:
        return None
    try:
        rate = float(text)
    except ValueError:
        rate = math.nan
    if rate <= 0:
        raise ChoiceError(f"RATE is {text}; {allowed}; to stop a topic use relay pause")
    if not math.isfinite(rate):
        raise ChoiceError(f"RATE is {quoted(text)}; {allowed}")
    return rate


@contextmanager
def _asked(
    settings: "Settings", topic: str, why: str | None, *, unknown: bool
) -> "Iterator[tuple[psycopg.Connection, str]]":
    """Open a session, once the topic is known and the reason was given."""
    from relay.operators import acts
    from relay.operators.operating import session

    demand_answers(why, yes=True)
    with session(settings.database_url) as connection:
        if not unknown:
            acts.demand_known(topic, {*acts.known(connection), *settings.topics})
        yield connection, reason(why)


def _obeyed(connection: "psycopg.Connection", seconds: float, said: str) -> None:
    from relay.operators import acts
    from relay.printable import printable

    missing = acts.await_obedience(connection, seconds)
    if missing:
        names = ", ".join(printable(name) for name in missing)
        raise WorkFailed(
            f"{said}: that is recorded, but within {seconds:g} s these relays did not say that they obey: {names}; so"
            " what they are sending may still arrive. One that hangs loses its shards to the others: see relay relays"
        )
    typer.echo(said)


def show(
    context: typer.Context,
    id_: Annotated[str, typer.Argument(metavar="ID", help="Its id, or a beginning that no other has.")],
    *,
    raw: Annotated[bool, typer.Option("--raw", help="Write the bytes of the payload, and nothing else.")] = False,
    kafka: Annotated[bool, typer.Option("--kafka/--no-kafka", help="Whether to look for it in Kafka.")] = True,
    json: Json = False,
) -> None:
    """Show all of one message: what it says, what became of it and why, and where it is in Kafka."""
    from relay.cli import show_acts
    from relay.operators import message
    from relay.operators.operating import session

    settings = settings_of(context, DATABASE)
    with session(settings.database_url) as connection:
        found = message.read(connection, id_)
        acts = message.acts_on(connection, found)
    if raw:
        if found.payload is None:
            raise ChoiceError(f"message {found.id} has no payload: it is a tombstone, or was erased")
        sys.stdout.buffer.write(found.payload)
        return
    place = _place(settings, found) if kafka else None
    if json:
        from relay.show_json import show_json

        show_json(
            {
                **found.as_json(),
                "kafka": place,
                "acts": acts,
            }
        )
    else:
        show_acts.message(found, place, acts)


def _place(settings: "Settings", found: "Message") -> "Place | None":
    from relay.operators.find import Place, find
    from relay.publishing.routing import Routes

    name = Routes(settings)(found.topic) or found.topic
    if found.sent_at is None:
        return None
    if not settings.kafka_brokers:
        return Place(name, why="not looked for, since KAFKA_BROKERS is not set")
    since = max(found.created_at, found.sent_after or found.created_at)
    return find(settings, name, str(found.id), found.key, since=since, until=found.sent_at)


def erase(
    context: typer.Context,
    *,
    ids: Annotated[list[str] | None, typer.Argument(metavar="ID", help="Messages by their ids.")] = None,
    topic: Annotated[str | None, typer.Option(metavar="TOPIC", help="With --key: all messages of a key.")] = None,
    key: Annotated[str | None, typer.Option(metavar="KEY", help="The key, of one topic.")] = None,
    why: Why = None,
    yes: Yes = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say how many there are.")] = False,
) -> None:
    """Take away what messages said, for a person's right to be forgotten; that they were there stays."""
    from relay.operators import acts
    from relay.operators.operating import session

    if not ids and (topic is None or key is None):
        raise ChoiceError("nothing is chosen; allowed: ids, or --topic and --key together")
    choice = Choice(topic=topic, key=key) if not ids else read(ids, topic=topic, key=key)
    if not dry_run:
        demand_answers(why, yes=yes)
    database_url = settings_of(context, DATABASE).database_url
    with session(database_url) as connection:
        _, count = acts.erase(connection, choice, "", dry_run=True)
    whose = f"with {counted(len(choice.ids), 'id')}" if choice.ids else "of that key"
    typer.echo(f"payload, headers and key of {counted(count, 'message')} {whose} go", err=True)
    if dry_run or not count:
        return
    why = reason(why)
    agree(f"erase {counted(count, 'message')}? This is final.", yes=yes)
    with session(database_url) as connection:
        number, done = acts.erase(connection, choice, why, dry_run=False)
    typer.echo(
        f"erased {counted(done, 'message')} (act {number}); Kafka keeps its copies, and the disk the bytes until vacuum"
    )


def relays(context: typer.Context, *, json: Json = False) -> None:
    """Show the live relays: who holds which shards, how busy each is; and what is said of topics."""
    from relay.cli import show_acts
    from relay.operators import acts
    from relay.operators import relays as live
    from relay.operators.operating import session

    with session(settings_of(context, DATABASE).database_url) as connection:
        found, rules = live.read(connection), acts.rules(connection)
    if json:
        from relay.show_json import show_json

        said = [{"topic": rule.topic, "paused_at": rule.paused_at, "rate": rule.rate} for rule in rules]
        show_json({"relays": [one.as_json() for one in found], "topics": said})
    else:
        show_acts.relays(found, rules)


def log(
    context: typer.Context,
    *,
    who: Annotated[str | None, typer.Option(metavar="TEXT", help="By whom: a part of the role or the client.")] = None,
    act: Annotated[str | None, typer.Option(metavar="WHAT", help="Such as replay, discard, pause, erase.")] = None,
    topic: Annotated[
        str | None, typer.Option(metavar="TOPIC", help="Of a topic.", autocompletion=complete_topic)
    ] = None,
    message: Annotated[str | None, typer.Option(metavar="ID", help="Those that named a message by its id.")] = None,
    after: Annotated[str | None, typer.Option(metavar="TIME", help=f"Since {TIMES}.")] = None,
    before: Annotated[str | None, typer.Option(metavar="TIME", help="Before then.")] = None,
    below: Annotated[int | None, typer.Option(metavar="N", help="Acts with lower numbers: to page on.")] = None,
    limit: Annotated[int, typer.Option(metavar="N", min=1, max=10_000, help="How many.")] = 20,
    json: Json = False,
) -> None:
    """Show what operators did, the newest first: who, when, what, why."""
    from relay.cli import show_acts
    from relay.operators import acts
    from relay.operators.operating import session

    times = read(None, after=after, before=before, topic=topic, everything=topic is None)
    named = read([message]) if message is not None else Choice()
    choice = Choice(ids=named.ids, topic=topic, after=times.after, before=times.before)
    with session(settings_of(context, DATABASE).database_url) as connection:
        found = acts.log(connection, choice, who=who, act=act, page=(below, limit + 1))
    if json:
        from relay.show_json import show_json

        show_json({"acts": found[:limit], "more": len(found) > limit})
    else:
        show_acts.log(found[:limit], more=len(found) > limit)
