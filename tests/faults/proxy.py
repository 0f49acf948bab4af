"""A TCP port that leads to another, and what can happen on the way: cuts, delays, silence, halves of a connection.

Guarantees: no byte is changed, lost or swapped on a connection that stands; what a fault withheld is handed over once
it is mended, as a network would by sending it again. One limit: this machine's kernel acknowledges what it was sent and
answers keepalives, however silent the proxy is, so nobody behind it ever sees TCP itself give up.
"""

import asyncio
import random
import socket
import struct
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from relay.local.process import free_port

CHUNK = 65_536
RESET = struct.pack("ii", 1, 0)
"""SO_LINGER of no time: closing tells the other side at once, by a RST (tcp(7))."""

Ends = tuple[asyncio.StreamWriter, asyncio.StreamWriter]
"""A connection as the proxy has it: the end that leads back to the client, and the end that leads to the server."""


class Network:
    """The thread on which all proxies of a test run."""

    def __init__(self) -> None:
        self._proxies: list[Proxy] = []
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="network", daemon=True)
        self._thread.start()

    def to(self, target: int) -> "Proxy":
        """Make a port that leads to another port of 127.0.0.1."""
        proxy = Proxy(self.call, target)
        asyncio.run_coroutine_threadsafe(proxy.listen(), self._loop).result(30)
        self._proxies.append(proxy)
        return proxy

    def call(self, work: Callable[[], None]) -> None:
        """Do something on the network's thread, and wait until it is done."""

        async def do() -> None:
            work()

        asyncio.run_coroutine_threadsafe(do(), self._loop).result(30)

    def close(self) -> None:
        """End all connections, and the thread."""
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result(30)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _end(self) -> None:
        for proxy in self._proxies:
            proxy.end()
        tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for proxy in self._proxies:
            # Once more, for what came about at that very moment.
            proxy.end()
        await asyncio.sleep(0.1)


class Proxy:
    """One port of 127.0.0.1 that leads to another; open, unless a fault is called for.

    Args:
        call: does something on the network's thread, where all of this happens.
        target: the port that it leads to.

    Attributes:
        port: where clients connect to.
    """

    def __init__(self, call: Callable[[Callable[[], None]], None], target: int) -> None:
        self.port = free_port()
        self._call = call
        self._target = target
        self._connections: set[Ends] = set()
        self._orphans: set[asyncio.StreamWriter] = set()
        self._writers: weakref.WeakSet[asyncio.StreamWriter] = weakref.WeakSet()
        """All ends that there ever were, also of connections that never came about or are not closed to the end yet."""
        self._slowest = 0.0
        self._refusing = False

    def cut(self) -> None:
        """Reset all connections that stand, at both ends; new ones are let through."""
        self._call(self._reset_all)

    def refuse(self) -> None:
        """Reset all connections, and every new one, until mended."""
        self._refusing = True
        self._call(self._reset_all)

    def silence(self) -> None:
        """Hold back every byte, both ways, until mended; new connections are accepted and get no answer."""
        self._call(self._open.clear)

    def slow(self, slowest: float) -> None:
        """Delay each piece by up to so many seconds, until mended; the pieces of a connection stay in order."""
        self._slowest = slowest

    def orphan(self, *, server: bool) -> None:
        """Let one side of each connection be gone, and the other not hear of it until mended.

        Args:
            server: whether it is the server's side that is gone; else the client's is.
        """
        self._call(lambda: self._orphan(server=server))

    def mend(self) -> None:
        """Be an open way again; whoever was left with half a connection is told now."""
        self._refusing = False
        self._slowest = 0.0
        self._call(self._mend)

    async def listen(self) -> None:
        """Begin. On the network's thread, as is `end`."""
        self._open = asyncio.Event()
        self._open.set()
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self.port)

    def end(self) -> None:
        """Listen no more, and end what stands."""
        self._server.close()
        _reset(*self._writers)

    async def _accept(self, reader: asyncio.StreamReader, client: asyncio.StreamWriter) -> None:
        self._writers.add(client)
        await self._open.wait()
        try:
            answers, server = await asyncio.open_connection("127.0.0.1", self._target)
        except OSError:
            return _reset(client)
        self._writers.add(server)
        ends = (client, server)
        if self._refusing:
            return _reset(*ends)
        self._connections.add(ends)
        try:
            async with asyncio.TaskGroup() as both_ways:
                both_ways.create_task(self._carry(reader, server, ends))
                both_ways.create_task(self._carry(answers, client, ends))
        finally:
            self._connections.discard(ends)
            self._orphans.difference_update(ends)
            # Both ways are over: nobody is left who could hear of it too early.
            for end in ends:
                end.close()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, ends: Ends) -> None:
        """Carry what comes from one end to the other, until either is over; then both are."""
        with suppress(OSError):
            while data := await reader.read(CHUNK):
                if self._slowest:
                    await asyncio.sleep(random.uniform(0, self._slowest))
                await self._open.wait()
                if writer not in self._orphans:
                    writer.write(data)
                    await writer.drain()
        await self._open.wait()
        if not self._orphans.intersection(ends):
            # In order, for what was said last must arrive.
            for end in ends:
                end.close()

    def _reset_all(self) -> None:
        for ends in self._connections:
            _reset(*ends)

    def _orphan(self, *, server: bool) -> None:
        for ends in self._connections:
            self._orphans.add(ends[server])
            _reset(ends[server])

    def _mend(self) -> None:
        for ends in self._connections:
            if self._orphans.intersection(ends):
                _reset(*ends)
        self._open.set()


def _reset(*ends: asyncio.StreamWriter) -> None:
    """End connections so that whoever is at the other side is told at once, and gets nothing more."""
    for end in ends:
        with suppress(OSError):
            end.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        end.transport.abort()


@contextmanager
def network() -> Iterator[Network]:
    """Have a network while the block lasts."""
    made = Network()
    try:
        yield made
    finally:
        made.close()
