"""The mails that the example shows: what strangers wrote into them is text on the page."""

import asyncio
from email.message import EmailMessage
from typing import Any

from aiosmtpd.smtp import Envelope

from app_integration.example.mailbox import MOST_MAILS, Mailbox, page

EVIL = "<img src=x onerror=alert(1)>"


def kept(count: int) -> Mailbox:
    mail, mailbox, anybody = EmailMessage(), Mailbox(), Any
    mail["Subject"], mail["Message-ID"] = f"Welcome {EVIL}", "<one@example.com>"
    mail.set_content(f"Hello {EVIL}")
    envelope = Envelope()
    envelope.content, envelope.rcpt_tos = mail.as_bytes(), [EVIL]

    async def take() -> None:
        for _ in range(count):
            assert await mailbox.handle_DATA(anybody, anybody, envelope) == "250 kept"  # type: ignore[arg-type]

    asyncio.run(take())
    return mailbox


def test_html_in_a_mail_is_shown_as_text() -> None:
    shown = page(kept(1))
    assert EVIL not in shown
    assert shown.count("&lt;img src=x onerror=alert(1)&gt;") >= 3


def test_the_newest_mails_are_kept_and_all_are_counted() -> None:
    mailbox = kept(MOST_MAILS + 5)
    assert (len(mailbox.newest()), mailbox.count) == (MOST_MAILS, MOST_MAILS + 5)
