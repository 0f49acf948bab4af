"""An SMTP server of its own process, which notes each mail that it takes before it says so, and whether it got to say.

`python -m tests.endtoend.mail_server PORT FILE`. Who sends logs in under the name of its process, so that each copy of
a mail is known by who brought it. SIGUSR1: the answer to the next mail is lost, for the connection ends with the mail
taken. SIGUSR2: the answer to the next mail comes when nobody waits for it any more.
"""

import asyncio
import contextlib
import signal
import sys
from email import message_from_bytes, policy
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from tests.endtoend.notes import Notes

PATIENCE = 6.0
"""Seconds for which a worker waits for an answer."""

LATE = 1.5 * PATIENCE


class Taking:
    """A handler of aiosmtpd: takes every mail.

    Args:
        notes: where it notes them.
    """

    def __init__(self, notes: Notes) -> None:
        self.notes = notes
        self.lose = self.delay = 0

    def lose_one(self) -> None:
        """Lose the answer to one mail more."""
        self.lose += 1

    def delay_one(self) -> None:
        """Give the answer to one mail more too late."""
        self.delay += 1

    async def handle_DATA(self, server: "Server", session: Session, envelope: Envelope) -> str:  # noqa: N802
        """Take a mail."""
        assert isinstance(envelope.content, bytes)
        mail, copy = message_from_bytes(envelope.content, policy=policy.SMTP), uuid4().hex
        self.notes.note(
            "taken",
            copy=copy,
            id=str(mail["Message-ID"]),
            to=", ".join(envelope.rcpt_tos),
            subject=str(mail["Subject"]),
            by=session.auth_data,
        )
        if self.lose:
            self.lose -= 1
            assert server.transport is not None
            server.transport.close()
        elif self.delay:
            self.delay -= 1
            await asyncio.sleep(LATE)
        else:
            server.copy = copy
        return "250 taken"


class Server(SMTP):
    """One conversation; notes that an answer was given when it is on its way."""

    copy: str | None = None

    async def push(self, status: Any) -> None:
        """Say something."""
        await super().push(status)
        if self.copy is not None and self.transport is not None and not self.transport.is_closing():
            handler: Taking = self.event_handler
            handler.notes.note("answered", copy=self.copy)
            self.copy = None


def known(_server: SMTP, _session: Session, _envelope: Envelope, _mechanism: str, given: Any) -> AuthResult:
    """Let everybody in, under the name that they give."""
    assert isinstance(given, LoginPassword)
    return AuthResult(success=True, auth_data=given.login.decode())


async def serve(port: int, notes: Notes) -> None:
    """Serve until SIGTERM."""
    loop, handler, stop = asyncio.get_running_loop(), Taking(notes), asyncio.Event()
    loop.add_signal_handler(signal.SIGUSR1, handler.lose_one)
    loop.add_signal_handler(signal.SIGUSR2, handler.delay_one)
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    protocol = partial(
        Server, handler, enable_SMTPUTF8=True, authenticator=known, auth_require_tls=False, loop=loop, timeout=600
    )
    server = await loop.create_server(protocol, "127.0.0.1", port)
    await stop.wait()
    server.close()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(serve(int(sys.argv[1]), Notes(Path(sys.argv[2]))))
