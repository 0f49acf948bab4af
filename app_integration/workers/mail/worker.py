"""The worker `email`: each mail is handed to the SMTP server once, between entering the inbox and committing that.

Guarantees: a mail that the server has taken is marked at once. Only where its answer was lost, or this process or the
database died in that moment, does the server get it again, with the same `Message-ID`. One mail shares a transaction
with no other, for what was sent cannot be rolled back.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from app_integration.contracts import KAFKA_TOPICS, Email
from app_integration.workers.backoff import Backoff
from app_integration.workers.contract import read
from app_integration.workers.mail.rendering import Renderer
from app_integration.workers.mail.smtp import Mailer
from app_integration.workers.received import Received
from app_integration.workers.settings import SmtpSettings
from app_integration.workers.worker import Connection, Worker

BACKOFF = Backoff(first=30.0, longest=3_600.0, attempts=128)
"""About five days: how long a mail that is refused for now is to be tried (RFC 5321, section 4.5.4.1)."""


class Sending:
    """Sends mails: what the worker does with a message.

    Args:
        settings: of the server.
        renderer: makes the mails.
    """

    def __init__(self, settings: SmtpSettings, renderer: Renderer | None = None) -> None:
        self._sender = settings.sender
        self._mailer = Mailer(settings)
        self._renderer = renderer or Renderer()

    def __call__(self, _connection: Connection, message: Received) -> None:
        """Send one mail.

        Raises:
            Reject: it can never be sent.
            Retry: it cannot be sent now, or may have been.
            Outage: no mail can be sent now.
        """
        mail = read(message, Email, KAFKA_TOPICS.EMAIL_QUEUE)
        # An operator who forces it wants it to arrive, and mail clients hide a second one of the same identity.
        identity = f"{message.id}.{message.replay}" if message.replay else message.id
        made = self._renderer.compose(mail, sender=self._sender, identity=identity, when=message.time)
        self._mailer.send(mail.to, made)

    @contextmanager
    def connected(self, *_: object) -> Iterator[None]:
        """End the connection to the server when the worker ends."""
        try:
            yield
        finally:
            self._mailer.leave()


def worker(settings: SmtpSettings, backoff: Backoff = BACKOFF) -> tuple[Worker, Sequence[Any]]:
    """Make the worker, with what ends its connection.

    Args:
        settings: of the mail server.
        backoff: when a mail that was refused for now is tried again.
    """
    sending = Sending(settings)
    made = Worker("email", (KAFKA_TOPICS.EMAIL_QUEUE.value,), sending, batch=1, backoff=backoff)
    return made, (sending.connected,)


def start(environ: Mapping[str, str]) -> tuple[Worker, Sequence[Any]]:
    """Make the worker as the environment says."""
    return worker(SmtpSettings.load(environ))
