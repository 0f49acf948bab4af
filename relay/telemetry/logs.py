"""Where log lines go and what they look like: one line on standard error each, as text for people or as JSON.

Guarantees: a record is one line, whatever an application, a broker or a library wrote into it; no secret that is named
to `configure` is ever in one, whoever logs it. The standard library's logging and not structlog: that brings rich with
it, 105 modules and 5 MB in every relay, to say what 30 lines say here.
"""

import json
import logging
import sys
from collections.abc import Collection
from datetime import UTC, datetime
from typing import Any, Literal

from relay import events
from relay.printable import printable
from relay.telemetry.lines import line_of, name_of

Form = Literal["console", "json"]

SHORTEST_SECRET = 4
"""A shorter one is no secret, and would be struck out of every other word."""

HIDDEN = "***"

_log = logging.getLogger("relay")


class _Console(logging.Formatter):
    """A line for people: when, how grave, and a sentence."""

    def format(self, record: logging.LogRecord) -> str:
        return printable(f"{self.formatTime(record)} {record.levelname:<7} {_sentence(record)}")


class _Json(logging.Formatter):
    """A line for programs: the same sentence, the event's name and its facts."""

    def __init__(self, relay: str) -> None:
        super().__init__()
        self._relay = relay

    def format(self, record: logging.LogRecord) -> str:
        # By PostgreSQL's and CloudEvents' notation, in UTC.
        at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        told: dict[str, Any] = {
            "time": at,
            "level": record.levelname.lower(),
            "event": getattr(record, "event", "log"),
            "message": _sentence(record),
            "relay": self._relay,
            "logger": record.name,
        }
        # In ASCII, so that what looks like the end of a line to any reader is not one.
        return json.dumps({**told, **getattr(record, "facts", {})}, default=str)


class _Hiding(logging.Formatter):
    """Strikes the secrets out of what another formatter has made: whoever wrote them, and however they got there."""

    def __init__(self, inner: logging.Formatter, secrets: Collection[str]) -> None:
        super().__init__()
        self._inner = inner
        self._secrets: list[str] = []
        self.hide(secrets)

    def hide(self, secrets: Collection[str]) -> None:
        """Strike these out too from now on; those of before may still be in what is logged."""
        forms = {form for secret in secrets if len(secret) >= SHORTEST_SECRET for form in _forms(secret)}
        # The longest first: one may be a part of another.
        self._secrets = sorted({*self._secrets, *forms}, key=len, reverse=True)

    def format(self, record: logging.LogRecord) -> str:
        line = self._inner.format(record)
        for secret in self._secrets:
            line = line.replace(secret, HIDDEN)
        return line


def _forms(secret: str) -> set[str]:
    """How a secret may stand in a line: as it is, and as it is escaped there."""
    shown = {secret, printable(secret), repr(secret)[1:-1]}
    return shown | {json.dumps(form)[1:-1] for form in shown}


def _sentence(record: logging.LogRecord) -> str:
    text = record.getMessage()
    if record.exc_info and record.exc_info[1] is not None:
        # Of a library: its kind and words are enough for a line.
        text += f": {type(record.exc_info[1]).__name__}: {record.exc_info[1]}"
    return text


def configure(form: Form = "console", level: str = "info", *, relay: str = "", secrets: Collection[str] = ()) -> None:
    """Send log lines to standard error.

    Args:
        form: "console" for people, "json" for programs.
        level: "info", "warning" or "error": what is less grave is left out.
        relay: the name of this relay, in each line of JSON.
        secrets: what must never appear.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Hiding(_Json(relay) if form == "json" else _Console(), secrets))
    logging.basicConfig(handlers=[handler], level=level.upper(), force=True)
    logging.captureWarnings(capture=True)
    # It tells of each run of each job; what a chore did is told by an event.
    logging.getLogger("apscheduler").setLevel(logging.ERROR)


def hide(secrets: Collection[str]) -> None:
    """Let secrets that were read anew never appear either."""
    for handler in logging.getLogger().handlers:
        if isinstance(handler.formatter, _Hiding):
            handler.formatter.hide(secrets)


def tell(event: events.Event) -> None:
    """Log an event, unless it is one of the hot path."""
    if (line := line_of(event)) is not None:
        # The sentence is finished: what looks like a placeholder in it is somebody's text.
        _log.log(line.level, "%s", line.text, extra={"event": name_of(event), "facts": line.facts})
