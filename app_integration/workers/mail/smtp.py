"""Hands a mail to an SMTP server, and says whose fault it is when that fails.

| the server | means | verdict |
|---|---|---|
| cannot be reached, or says 421, or refuses greeting, TLS, login or sender | no mail can go | `Outage` |
| 4xx for the recipient or the content | this one cannot go now (greylisting, a full mailbox) | `Retry` |
| 5xx for the recipient or the content | this one never can | `Reject` |
| is gone, or silent, after the content was sent | it may have the mail | `Retry`: the same `Message-ID` once more |

Reply codes: RFC 5321, section 4.2. The last is the one window in which a mail may arrive twice. It counts an attempt,
for a mail that ends the connection each time must not hold up all others; a server that is down shows it at the next
one.
"""

import smtplib
import ssl
from collections.abc import Callable
from contextlib import suppress
from email.utils import parseaddr

from app_integration.workers.settings import SmtpSettings
from app_integration.workers.verdict import Outage, Reject, Retry, Verdict, say

GONE = 421
FIRST_PERMANENT = 500
COMPLETED = 2
"""The first digit of a reply that says done (RFC 5321, section 4.2.1)."""


class Mailer:
    """Sends mails over one connection, which it keeps while mails follow one another.

    Args:
        settings: of the server.
    """

    def __init__(self, settings: SmtpSettings) -> None:
        self._settings = settings
        self._sender = parseaddr(settings.sender)[1]
        self._server: smtplib.SMTP | None = None

    def send(self, to: str, mail: bytes) -> None:
        """Hand a mail over; when this returns, the server has taken it.

        Raises:
            Outage, Retry, Reject: as in the table above.
        """
        try:
            self._send(self._ready(), to, mail)
        except BaseException:
            # After any failure the next mail begins anew: nobody can be sure of the state of this conversation.
            self.close()
            raise

    def close(self) -> None:
        """Drop the connection, whatever state it is in."""
        server, self._server = self._server, None
        if server is not None:
            server.close()

    def leave(self) -> None:
        """End the connection as one should."""
        if self._server is not None:
            with suppress(smtplib.SMTPException, OSError):
                self._server.quit()
        self.close()

    def _ready(self) -> smtplib.SMTP:
        """Give a connection on which a mail can begin: the one there is, if it still answers."""
        if self._server is not None:
            try:
                if _completed(self._server.rset()):
                    return self._server
            except (smtplib.SMTPException, OSError):
                pass  # a server may hang up when nothing comes for a while
            self.close()
        try:
            self._server = self._connect()
        except (smtplib.SMTPException, OSError) as error:
            raise Outage(f"the mail server {self._settings.host}:{self._settings.port}: {say(error)}") from None
        return self._server

    def _connect(self) -> smtplib.SMTP:
        given = self._settings
        context = ssl.create_default_context(cafile=given.ca_file or None)
        if given.security == "tls":
            server: smtplib.SMTP = smtplib.SMTP_SSL(given.host, given.port, timeout=given.timeout, context=context)
        else:
            server = smtplib.SMTP(given.host, given.port, timeout=given.timeout)
        try:
            if given.security == "starttls":
                # It raises when the server offers none: what was to be encrypted is never sent in the clear.
                server.starttls(context=context)
            if given.username:
                server.login(given.username, given.password)
            server.ehlo_or_helo_if_needed()
        except BaseException:
            server.close()
            raise
        return server

    def _send(self, server: smtplib.SMTP, to: str, mail: bytes) -> None:
        ours = self._asked("sender", lambda: server.mail(self._sender))
        if not _completed(ours):
            raise Outage(f"the mail server refuses the sender: {_told(ours)}")
        self._judge("recipient", self._asked("recipient", lambda: server.rcpt(to)))
        try:
            answer = server.data(mail)
        except smtplib.SMTPDataError as error:
            answer = (error.smtp_code, _bytes(error.smtp_error))
        except (smtplib.SMTPException, OSError) as error:
            raise Retry(f"no answer from the mail server after the content, it may have it: {say(error)}") from None
        self._judge("content", answer)

    def _asked(self, what: str, ask: Callable[[], tuple[int, bytes]]) -> tuple[int, bytes]:
        try:
            return ask()
        except ValueError as error:
            raise Reject(f"the {what} cannot be said in SMTP: {error}") from None
        except (smtplib.SMTPException, OSError) as error:
            raise Outage(f"the mail server went away at the {what}: {say(error)}") from None

    @staticmethod
    def _judge(what: str, answer: tuple[int, bytes]) -> None:
        if _completed(answer):
            return
        kind: type[Verdict] = Outage if answer[0] == GONE else Reject if answer[0] >= FIRST_PERMANENT else Retry
        raise kind(f"the mail server refuses the {what}: {_told(answer)}")


def _completed(answer: tuple[int, bytes]) -> bool:
    return answer[0] // 100 == COMPLETED


def _told(answer: tuple[int, bytes]) -> str:
    return f"{answer[0]} {answer[1].decode(errors='backslashreplace')}"


def _bytes(text: str | bytes) -> bytes:
    return text.encode() if isinstance(text, str) else text
