"""Posts a delivery to a subscriber, and comes back in time whatever is at the other end.

Guarantees: a connection is made only to an address that was judged, in the same breath and to that very address, so
that a name cannot resolve to another one in between; TLS is checked against the name. No redirect is followed, no
proxy of the environment is used, and time and size of an answer are bounded: by a deadline for all of it, since a
subscriber who sends a byte now and then would outlast any timeout between bytes.
"""

import asyncio
import socket
import ssl
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

import httpcore

from app_integration.workers.integrations.address import Refused, check_addresses, check_url
from app_integration.workers.integrations.fate import Answer

DEADLINE = 15.0
"""Seconds for an attempt, from resolving the name to the last byte that is read (Standard Webhooks: 15 to 30)."""

CONNECT, CONNECT_ALL = 4.0, 12.0
"""Seconds for an address of a host that does not answer, and for all of its addresses: the next one is tried while
there is time for TLS and an answer. A packet that gets lost is sent again after one second, and after three."""

KEPT = 300
"""Characters of a refusal's body that are kept for people."""

MOST = 16_384
"""Bytes of an answer that are read at most; more ends the connection."""


class JudgedNetwork(httpcore.AsyncNetworkBackend):
    """Connects to judged addresses only.

    Args:
        allow_private: whether any address will do.
    """

    def __init__(self, *, allow_private: bool) -> None:
        self._allow_private = allow_private
        self._below = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - the interface of httpcore
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Resolve a host, judge all of its addresses, and connect to the first of them that answers in its time."""
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        names = list(dict.fromkeys(str(address[0]) for *_, address in found))
        judged = check_addresses(host, names, allow_private=self._allow_private)
        patience = min(CONNECT, CONNECT_ALL / len(judged), CONNECT if timeout is None else timeout)
        failure: Exception | None = None
        for address in judged:
            try:
                return await self._below.connect_tcp(str(address), port, patience, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = type(error)(str(error) or f"{address} does not answer within {patience:.1f} s")
        assert failure is not None, "a host without an address is refused"
        raise failure

    async def connect_unix_socket(self, *_: Any, **__: Any) -> httpcore.AsyncNetworkStream:
        """Refuse: no subscriber is a file."""
        raise Refused("a socket in the file system is no endpoint")

    async def sleep(self, seconds: float) -> None:
        """Sleep."""
        await asyncio.sleep(seconds)


class Poster:
    """Posts deliveries.

    Args:
        context: of TLS; the system's certificates unless given.
        deadline: seconds for an attempt.
    """

    def __init__(self, context: ssl.SSLContext | None = None, deadline: float = DEADLINE) -> None:
        self._deadline = deadline
        tls = context or ssl.create_default_context()
        self._pools = {
            private: httpcore.AsyncConnectionPool(
                ssl_context=tls,
                max_connections=None,
                max_keepalive_connections=100,
                keepalive_expiry=10.0,
                network_backend=JudgedNetwork(allow_private=private),
            )
            for private in (False, True)
        }

    async def post(self, url: str, headers: dict[str, str], body: bytes, *, allow_private: bool) -> Answer:
        """Post once.

        Args:
            url: the endpoint's.
            headers: besides those that every request has.
            body: what is sent.
            allow_private: whether it may lead into our own network.

        Returns:
            What came of it; nothing is raised for what a subscriber does.
        """
        try:
            check_url(url, allow_private=allow_private)
            async with asyncio.timeout(self._deadline):
                return await self._post(self._pools[allow_private], url, headers, body)
        except Refused as error:
            return Answer(None, f"refused: {error}", refused=True)
        except TimeoutError:
            return Answer(None, f"no whole answer within {self._deadline:.0f} s")
        except (httpcore.NetworkError, httpcore.ProtocolError, httpcore.TimeoutException, OSError) as error:
            return Answer(None, f"{type(error).__name__}: {error}"[:KEPT])
        except ValueError as error:
            # Such as a header or URL that HTTP cannot say.
            return Answer(None, f"cannot be sent: {error}"[:KEPT])

    async def close(self) -> None:
        """Close what is open."""
        for pool in self._pools.values():
            await pool.aclose()

    async def _post(self, pool: httpcore.AsyncConnectionPool, url: str, headers: dict[str, str], body: bytes) -> Answer:
        every = {"content-type": "application/json", "user-agent": "outbox-relay", "accept-encoding": "identity"}
        async with pool.stream("POST", url, headers=[*{**every, **headers}.items()], content=body) as response:
            kept = b""
            async for chunk in response.aiter_stream():
                kept += chunk
                if len(kept) > MOST:
                    break
            told = {name.lower(): value for name, value in response.headers}
        wish = None
        with suppress(ValueError):
            wish = float(told.get(b"retry-after", b"").decode("latin-1"))
        answer = Answer(response.status, retry_after=wish if wish is not None and wish >= 0 else None)
        return answer if answer.taken else _refusal(answer, kept)


def _refusal(answer: Answer, body: bytes) -> Answer:
    text = "".join(one if one.isprintable() else " " for one in body[:KEPT].decode(errors="replace"))
    redirect = "; redirects are not followed" if answer.status is not None and answer.status // 100 == 3 else ""  # noqa: PLR2004 - redirection (RFC 9110, section 15.4)
    return Answer(answer.status, f"HTTP {answer.status}{redirect} {text}".strip(), answer.retry_after)
