"""A real SMTP server that answers as it is told, and keeps the mails that it has taken."""

import asyncio
import email
import email.policy
import socket
import ssl
from collections import deque
from email.message import EmailMessage
from typing import Any, Self

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

USER, PASSWORD = "edu", "geheim"


class Post:
    """What the server does, and what it has: a handler of aiosmtpd.

    `recipients` and `contents` are answers for the next ones; `drop` ends the next conversations after the content was
    taken, before that is said; `late` is how many seconds the next answer to a content is late.
    """

    def __init__(self) -> None:
        self.mails: list[EmailMessage] = []
        self.recipients: deque[str] = deque()
        self.contents: deque[str] = deque()
        self.drop = 0
        self.late = 0.0
        self.conversations = 0

    async def handle_EHLO(
        self, server: SMTP, session: Session, _envelope: Envelope, host: str, answers: list[str]
    ) -> list[str]:
        session.host_name = host
        self.conversations += 1
        del server
        return answers

    async def handle_RCPT(
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, _: list[str]
    ) -> str:
        if self.recipients:
            return self.recipients.popleft()
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, _session: Session, envelope: Envelope) -> str:
        if self.contents:
            return self.contents.popleft()
        content = envelope.content
        assert isinstance(content, bytes)
        parsed = email.message_from_bytes(content, policy=email.policy.SMTP)
        assert isinstance(parsed, EmailMessage)
        parsed["X-Rcpt"] = ",".join(envelope.rcpt_tos)
        self.mails.append(parsed)
        if self.late:
            late, self.late = self.late, 0.0
            await asyncio.sleep(late)
        if self.drop:
            self.drop -= 1
            assert server.transport is not None
            server.transport.close()
        return "250 OK"

    @property
    def ids(self) -> list[str]:
        """The Message-IDs of all that was taken."""
        return [str(mail["Message-ID"]) for mail in self.mails]


class MailServer:
    """The server: `with MailServer(post) as server: server.port`; it can be stopped and started on the same port.

    Args:
        post: what it does.
        tls: certificates, for STARTTLS or from the first byte.
        implicit: whether TLS is from the first byte.
        login: whether nobody may send who has not logged in.
    """

    def __init__(
        self, post: Post, *, tls: ssl.SSLContext | None = None, implicit: bool = False, login: bool = False
    ) -> None:
        self._post = post
        self._options: dict[str, Any] = {}
        if tls is not None:
            self._options["ssl_context" if implicit else "tls_context"] = tls
            self._options["require_starttls"] = not implicit
        if login:
            self._options |= {
                "auth_required": True,
                "authenticator": _authenticate,
                "auth_require_tls": tls is not None and not implicit,
            }
        with socket.socket() as found:
            found.bind(("127.0.0.1", 0))
            self.port: int = found.getsockname()[1]
        self._controller: Controller | None = None

    def start(self) -> None:
        self._controller = Controller(self._post, hostname="127.0.0.1", port=self.port, **self._options)
        self._controller.start()

    def stop(self) -> None:
        if self._controller is not None:
            self._controller.stop()
            self._controller = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def _authenticate(_server: SMTP, _session: Session, _envelope: Envelope, _mechanism: str, given: Any) -> AuthResult:
    right = isinstance(given, LoginPassword) and given == LoginPassword(USER.encode(), PASSWORD.encode())
    return AuthResult(success=right)
