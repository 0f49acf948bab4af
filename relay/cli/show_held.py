"""How the command line shows held messages to people. What others wrote is escaped. Decides nothing."""

from datetime import timedelta

from rich.console import Console
from rich.table import Table
from rich.text import Text

from relay.operators.choice import told
from relay.operators.failed import Failed, HeldMessage
from relay.operators.operate import Act, Done, Plan
from relay.printable import counted, printable, short

STYLES = {"dead": "red", "retrying": "yellow", "unreachable": "yellow"}


def failed(found: Failed, *, grouped: bool) -> None:
    """Show what has failed: all of it in groups, then some of it one by one."""
    console = terminal()
    held = ", ".join(f"{state} {count:,}" for state, count in found.held.items())
    _say(console, f"held: {held or 'nothing'}")
    if not found.count:
        _say(console, "of what was asked for, nothing is held" if found.held else "nothing has failed")
        return
    table = Table("messages", "state", "topic", "error", "held since (UTC)")
    for group in found.groups:
        table.add_row(
            f"{group.messages:,}",
            Text(group.state, STYLES.get(group.state, "")),
            Text(printable(group.topic)),
            Text(short(group.code or "-")),
            f"{group.held_since:%Y-%m-%d %H:%M:%S}",
        )
    console.print(table)
    if not grouped:
        for message in found.messages:
            _message(console, message, found)
        if found.count > len(found.messages):
            _say(console, f"and {found.count - len(found.messages):,} more (--limit)")
    _say(console, "once the cause is mended: relay replay; to give them up for good: relay discard")


def _message(console: Console, message: HeldMessage, found: Failed) -> None:
    key = "without a key" if message.key is None else f"key {short(message.key)}"
    console.print(
        Text.assemble(
            (message.state, STYLES.get(message.state, "")),
            f"  {message.id}  topic {printable(message.topic)}, {key}",
        ),
        soft_wrap=True,
    )
    facts = [f"held since {told(message.held_since)} ({_age(found.at - message.held_since)})"]
    facts += [f"failed {message.attempts:,} times by its own fault"] * bool(message.attempts)
    facts += [f"next try {told(message.next_at)}"] if message.next_at else []
    facts += [f"{message.waiting:,} wait behind it"] * bool(message.waiting)
    _say(console, f"    {', '.join(facts)}")
    if message.error is not None:
        code = f"{message.code}: " if message.code else ""
        _say(console, f"    {short(code + message.error, 1_000)}")


def plan(plan: Plan, *, to_errors: bool) -> None:
    """Show what is about to be done."""
    console = terminal(to_errors=to_errors)
    kind = "sent" if plan.choice.sent else "held" if plan.act is Act.DISCARD else "failed"
    if not plan.messages:
        _say(console, f"nothing to {plan.act}: there are no {kind} messages {short(plan.choice.in_words())}")
        return
    _say(console, f"{plan.act} {counted(plan.messages, f'{kind} message')} {short(plan.choice.in_words())}:")
    table = Table("messages", "topic", "state")
    for part in plan.parts:
        table.add_row(f"{part.messages:,}", Text(printable(part.topic)), Text(part.state, STYLES.get(part.state, "")))
    console.print(table)
    if plan.act is Act.DISCARD:
        _say(console, "they will never be sent; what waits behind them goes on")
    elif plan.choice.sent:
        _say(console, "they will be published once more, with a header ce_replay, in no order with newer ones")


def done(plan: Plan, done: Done) -> None:
    """Say what was done."""
    number = "" if done.number is None else f" (act {done.number})"
    _say(terminal(), f"{plan.act}ed {counted(done.messages, 'message')}{number}")
    if done.messages != plan.messages:
        _say(terminal(), f"{plan.messages - done.messages:,} of those shown were settled meanwhile")


def terminal(*, to_errors: bool = False) -> Console:
    """Make a console; into a pipe nothing is cut off or coloured."""
    console = Console(stderr=to_errors, highlight=False)
    return console if console.is_terminal else Console(stderr=to_errors, highlight=False, width=200)


def _say(console: Console, line: str) -> None:
    console.print(Text(line), soft_wrap=True)


def _age(age: timedelta) -> str:
    seconds = int(age.total_seconds())
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds // size} {unit}"
    return f"{max(seconds, 0)} s"
