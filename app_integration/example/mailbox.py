"""A mail server that delivers to nobody: it keeps the newest mails in memory and shows them on a page of its own.

For a machine of one's own. It takes every mail for every address; what is in a mail is shown as text, and the page runs
no script. The mails are gone with the process.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from email import message_from_bytes, policy
from functools import partial
from html import escape
from typing import Any

from aiosmtpd.smtp import SMTP, Envelope, Session
from fastapi import FastAPI
from fastapi.responses import HTMLResponse

MOST_MAILS = 200

HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}

PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark"><meta http-equiv="refresh" content="2"><title>Edu Matrix · Mails</title>
<style>
body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 46rem; margin: 2rem auto; padding: 0 1rem; }}
article {{ border-top: 1px solid color-mix(in srgb, currentColor 25%, transparent); padding: .5rem 0; }}
h1 {{ font-size: 1.4rem; }} h2 {{ font-size: 1.05rem; margin: .5rem 0 0; }} p {{ margin: 0; }}
pre {{ white-space: pre-wrap; overflow-wrap: anywhere; font: inherit; margin: .5rem 0; }}
</style></head>
<body><h1>Mails that Edu Matrix has sent: {count}</h1><main>{mails}</main></body></html>
"""

MAIL = "<article><h2>{subject}</h2><p>To {to} · {at} · {message_id}</p><pre>{text}</pre></article>"


@dataclass(frozen=True, slots=True)
class Mail:
    """One that was accepted."""

    to: str
    subject: str
    text: str
    message_id: str
    at: str


class Mailbox:
    """Keeps what comes: a handler of aiosmtpd."""

    def __init__(self) -> None:
        self._mails: deque[Mail] = deque(maxlen=MOST_MAILS)
        self.count = 0

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802 - its name
        """Accept a mail."""
        content = envelope.content if isinstance(envelope.content, bytes) else b""
        read = message_from_bytes(content, policy=policy.default)
        body = read.get_body(("plain", "html"))
        text = body.get_content() if body else ""
        now = datetime.now(UTC).isoformat(timespec="seconds")
        to = ", ".join(envelope.rcpt_tos)
        self._mails.appendleft(Mail(to, str(read["subject"]), str(text), str(read["message-id"]), now))
        self.count += 1
        return "250 kept"

    def newest(self) -> list[Mail]:
        """Give what is kept, the newest first."""
        return list(self._mails)


def page(mailbox: Mailbox) -> str:
    """Show the mails as HTML; what others wrote is text in it."""
    shown = [MAIL.format(**{name: escape(value) for name, value in asdict(mail).items()}) for mail in mailbox.newest()]
    return PAGE.format(count=mailbox.count, mails="".join(shown) or "<p>None yet.</p>")


def create_app(smtp_port: int) -> FastAPI:
    """Put it together: SMTP on 127.0.0.1 at `smtp_port`, the page at `/`, the same for programs at `/mails`."""
    mailbox = Mailbox()

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        loop = asyncio.get_running_loop()
        protocol = partial(SMTP, mailbox, enable_SMTPUTF8=True, ident="Edu Matrix mailbox", loop=loop)
        async with await loop.create_server(protocol, "127.0.0.1", smtp_port):
            yield

    app = FastAPI(title="Edu Matrix, mails", lifespan=lifespan, docs_url=None, redoc_url=None, openapi_url=None)

    @app.get("/")
    async def show() -> HTMLResponse:
        return HTMLResponse(page(mailbox), headers=HEADERS)

    @app.get("/mails")
    async def mails() -> list[dict[str, Any]]:
        return [asdict(mail) for mail in mailbox.newest()]

    return app
