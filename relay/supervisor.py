"""Tells systemd how the relay is: ready, at work on what, alive, stopping (sd_notify(3), over the socket it names).

Guarantees: without a supervisor that listens nothing happens; nothing here ever waits, raises or holds the relay up.
"""

import socket
from collections.abc import Mapping
from contextlib import suppress

from relay import events
from relay.printable import counted

VARIABLE = "NOTIFY_SOCKET"
"""What systemd puts the socket's address into."""

LONGEST = 300
"""Characters of a status: more than a line of `systemctl status` shows nobody reads."""


def said(event: events.Event) -> str:
    """Put an event into the words of sd_notify; empty where it says nothing of how the relay is."""
    match event:
        case events.Started():
            return f"READY=1\n{_status(f'connected to {event.database}')}"
        case events.LeasesChanged():
            return _status(f"publishes {counted(len(event.held), 'shard')}")
        case events.BrokerSilent():
            return _status(f"kafka does not take messages: {event.failure.text}")
        case events.BrokerBack():
            return _status("kafka answers again, the backlog is published in order")
        case events.Interrupted() | events.NotThereYet():
            return _status(f"waits or begins anew: {event.reason}")
    return "STOPPING=1" if isinstance(event, events.Stopped) else ""


def _status(text: str) -> str:
    # A line end would begin another assignment, and some of the text was said by a server.
    return f"STATUS={' '.join(text.split())[:LONGEST]}"


class Supervisor:
    """Whoever started the relay, if it wants to hear.

    Args:
        environ: the environment; `NOTIFY_SOCKET` names a datagram socket, by its path or, with an `@`, abstractly.
    """

    def __init__(self, environ: Mapping[str, str]) -> None:
        address = environ.get(VARIABLE, "")
        self._address = f"\0{address[1:]}" if address.startswith("@") else address
        self._listens = address.startswith(("@", "/"))

    def overhearing(self, tell: events.Tell) -> events.Tell:
        """Return what tells each event to the supervisor too."""
        return events.all_hear(tell, self._hear) if self._listens else tell

    def _hear(self, event: events.Event) -> None:
        if words := said(event):
            self._send(words)

    def alive(self) -> None:
        """Feed the watchdog."""
        if self._listens:
            self._send("WATCHDOG=1")

    def _send(self, words: str) -> None:
        # A socket of its own each time: whoever listens may have been started anew. What does not get through is not
        # repeated: the next word is never far.
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as opened:
            opened.setblocking(False)
            opened.sendto(words.encode(), self._address)
