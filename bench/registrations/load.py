"""Registers people, and notes when the mail server accepted each one's mail.

Mail server and clients are one process, with one clock.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from http import HTTPStatus
from itertools import count

import aiohttp
from aiosmtpd.smtp import SMTP, Envelope, Session

PATIENCE = 180.0
"""Seconds for the last mail."""

_numbers = count(1)


class Mails:
    """A handler of aiosmtpd that notes when each address had its mail accepted, and keeps nothing of it."""

    def __init__(self) -> None:
        self.accepted: dict[str, float] = {}
        self.repeated = 0
        self._come = asyncio.Condition()

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802 - its name
        """Accept a mail."""
        async with self._come:
            for address in envelope.rcpt_tos:
                self.repeated += address in self.accepted
                self.accepted.setdefault(address, time.monotonic())
            self._come.notify_all()
        return "250 kept"

    async def of_all(self, addresses: set[str]) -> None:
        """Wait until all of these have one."""
        async with asyncio.timeout(PATIENCE), self._come:
            await self._come.wait_for(lambda: addresses <= self.accepted.keys())


@asynccontextmanager
async def mail_server(port: int) -> AsyncIterator[Mails]:
    """Run a mail server on 127.0.0.1."""
    mails, loop = Mails(), asyncio.get_running_loop()
    async with await loop.create_server(partial(SMTP, mails, ident="bench", loop=loop), "127.0.0.1", port):
        yield mails


@dataclass
class Asked:
    """Who was registered in a run, and when that was asked for."""

    at: dict[str, float] = field(default_factory=dict)
    answered: dict[str, float] = field(default_factory=dict)

    async def register(self, session: aiohttp.ClientSession, url: str) -> None:
        """Register somebody new."""
        number = next(_numbers)
        address = f"user{number}-{time.time_ns():x}@example.com"
        new = {"email": address, "name": f"User {number}", "password": "a password of this benchmark"}
        self.at[address] = time.monotonic()
        async with session.post(f"{url}/api/auth/register", json=new) as answer:
            assert answer.status == HTTPStatus.CREATED, await answer.text()
        self.answered[address] = time.monotonic()


async def flood(mails: Mails, url: str, clients: int, seconds: float) -> float:
    """Let clients register people one after the other; return how many a second had their mail accepted."""
    asked, until = Asked(), time.monotonic() + seconds

    async def go_on(session: aiohttp.ClientSession) -> None:
        while time.monotonic() < until:
            await asked.register(session, url)

    async with aiohttp.ClientSession() as session:
        await asyncio.gather(*(go_on(session) for _ in range(clients)))
    await mails.of_all(set(asked.at))
    return len(asked.at) / (max(mails.accepted[address] for address in asked.at) - min(asked.at.values()))


async def steady(mails: Mails, url: str, rate: float, seconds: float) -> tuple[list[float], list[float]]:
    """Register people at a steady rate, whatever is answered.

    Returns:
        Milliseconds from asking to the accepted mail, and from asking to the answer.
    """
    asked, began, waiting = Asked(), time.monotonic(), []
    async with aiohttp.ClientSession() as session:
        for place in range(int(rate * seconds)):
            await asyncio.sleep(max(0.0, began + place / rate - time.monotonic()))
            waiting.append(asyncio.create_task(asked.register(session, url)))
        await asyncio.gather(*waiting)
    await mails.of_all(set(asked.at))
    return (
        [(mails.accepted[address] - at) * 1000 for address, at in asked.at.items()],
        [(asked.answered[address] - at) * 1000 for address, at in asked.at.items()],
    )
