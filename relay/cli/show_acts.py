"""How the command line shows one message, relays, and what operators did. What others wrote is escaped and cut."""

import contextlib
import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from rich.table import Table
from rich.text import Text

from relay.cli.show_held import STYLES, terminal
from relay.operators.acts import Logged, Rule
from relay.operators.choice import told
from relay.operators.find import Place
from relay.operators.message import Message
from relay.operators.relays import LiveRelay
from relay.printable import printable, short

CUT = 4_000
"""Characters of a payload that are shown."""


def payload_lines(payload: bytes | None, content_type: str | None) -> Iterator[str]:
    """Show a payload: JSON laid out, text as it is, anything else in hexadecimal; escaped, and cut at a bound."""
    if payload is None:
        yield "none (a tombstone)"
        return
    try:
        text = payload.decode()
    except UnicodeDecodeError:
        yield from _hex(payload)
        return
    if len(payload) <= CUT and "json" in (content_type or ""):
        with contextlib.suppress(ValueError, RecursionError):
            text = json.dumps(json.loads(text), indent=2, ensure_ascii=False)
    lines = text[:CUT].split("\n")
    yield from (printable(line) for line in lines)
    if len(text) > CUT:
        yield f"… cut: it has {len(payload):,} bytes (--raw writes all)"


def _hex(payload: bytes) -> Iterator[str]:
    for place in range(0, min(len(payload), 512), 16):
        part = payload[place : place + 16]
        readable = "".join(chr(one) if 32 <= one < 127 else "." for one in part)  # noqa: PLR2004 - what ASCII prints
        yield f"{place:08x}  {part.hex(' '):<47}  {readable}"
    if len(payload) > 512:  # noqa: PLR2004 - 32 lines
        yield f"… cut: it has {len(payload):,} bytes (--raw writes all)"


def message(found: Message, place: Place | None, acts: Sequence[Logged]) -> None:
    """Show all of a message."""
    console = terminal()
    console.print(Text.assemble((found.state, STYLES.get(found.state, "")), f"  {found.id}"), soft_wrap=True)
    facts: Mapping[str, str | None] = {
        "why": found.why,
        "topic": printable(found.topic),
        "key": None if found.key is None else short(found.key),
        "type": None if found.type is None else short(found.type),
        "written": told(found.created_at),
        "due": None if found.deliver_after is None else told(found.deliver_after),
        "sent": None if found.sent_at is None else told(found.sent_at),
        "in kafka": None if place is None else _place(place),
        "held": None if found.held_at is None else told(found.held_at),
        "attempts": None if not found.attempts else f"{found.attempts:,} failed by its own fault",
        "error": None if found.error is None else short(f"{found.code}: {found.error}"),
        "failed": None if found.failed_at is None else told(found.failed_at),
        "next try": None if found.state != "retrying" or found.due_at is None else told(found.due_at),
        "place": f"shard {found.shard}, seq {found.seq}",
    }
    for name, value in facts.items():
        if value is not None:
            console.print(Text(f"{name:<10}{value}"), soft_wrap=True)
    for name, value in json.loads(found.headers or "{}").items():
        console.print(Text(f"header    {short(name)}: {short(value)}"), soft_wrap=True)
    for act in acts:
        console.print(Text(f"act       {_act(act)}"), soft_wrap=True)
    size = "" if found.payload is None else f", {len(found.payload):,} bytes"
    console.print(Text(f"payload   {short(found.content_type or 'of no type')}{size}"), soft_wrap=True)
    for line in payload_lines(found.payload, found.content_type):
        console.print(Text(f"    {line}"), soft_wrap=True)


def _place(place: Place) -> str:
    if place.partition is None:
        return f"topic {printable(place.topic)}: not found; {printable(place.why)}"
    return f"topic {printable(place.topic)}, partition {place.partition}, offset {place.offset}"


def _act(act: Logged) -> str:
    return f"{act.number}, {told(act.at)}, {act.act} by {short(act.who)} ({short(act.client)}): {short(act.why)}"


def log(acts: Sequence[Logged], *, more: bool) -> None:
    """Show what operators did."""
    console = terminal()
    table = Table("act", "at (UTC)", "who", "what", "messages", "why")
    for act in acts:
        table.add_row(
            str(act.number),
            _time(act.at),
            Text(f"{short(act.who)}\n{short(act.client)}"),
            Text(f"{short(act.act)} {short(_choice(act.choice))}".strip()),
            f"{act.messages:,}" if act.messages else "",
            Text(short(act.why)),
        )
    console.print(table) if acts else console.print("nothing was done")
    if more:
        console.print(Text(f"older ones: --below {acts[-1].number}"))


def _choice(choice: Mapping[str, Any]) -> str:
    shown = {name: value for name, value in choice.items() if value is not False and value is not None}
    if isinstance(ids := shown.get("ids"), list) and len(ids) > 3:  # noqa: PLR2004
        shown["ids"] = [*ids[:3], f"… {len(ids):,}"]
    return ", ".join(
        f"{name} {' '.join(map(str, value)) if isinstance(value, list) else value}" for name, value in shown.items()
    )


def relays(found: Sequence[LiveRelay], rules: Sequence[Rule]) -> None:
    """Show who is alive and how busy, and what is said of topics."""
    console = terminal()
    table = Table("relay", "version", "since (UTC)", "from", "shards", "messages/s", "last checkpoint (UTC)", "silent")
    for one in found:
        table.add_row(
            Text(short(one.name)),
            one.version or "?",
            _time(one.since),
            one.address or "local",
            _shards(one),
            f"{one.messages_per_second:,.1f}",
            _time(one.checkpoint_at),
            "?" if one.silent_seconds is None else f"{max(0.0, one.silent_seconds):.1f} s",
        )
    console.print(table) if found else console.print("none is running")
    for rule in rules:
        paused = "" if rule.paused_at is None else f" is paused since {told(rule.paused_at)}"
        limit = "" if rule.rate is None else f" is limited to {rule.rate:g} messages/s"
        console.print(
            Text(f"topic {printable(rule.topic)}{' and'.join(filter(None, (paused, limit)))}"), soft_wrap=True
        )


def _shards(relay: LiveRelay) -> str:
    """A line for all that were taken at one time."""
    since: dict[datetime | None, list[int]] = defaultdict(list)
    for shard, moment in zip(relay.shards, relay.shards_since, strict=True):
        since[moment].append(shard)
    return "\n".join(f"{' '.join(map(str, some))} since {_time(moment)}" for moment, some in since.items()) or "none"


def _time(moment: datetime | None) -> str:
    return "?" if moment is None else told(moment).removesuffix(" UTC")
