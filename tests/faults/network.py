"""A network namespace: a machine of its own as far as TCP can tell, with two cables to this one that can be cut.

A cut cable says nothing: packets go to an address of hardware that nobody has, at both ends, and no connection is
closed or refused. A proxy could not do that, for its kernel would go on answering keepalives.
"""

import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import pytest

NEEDED = (
    "this test cuts a network of its own: it needs root with the capabilities NET_ADMIN and SYS_ADMIN (a container: "
    "docker run --cap-add NET_ADMIN --cap-add SYS_ADMIN) and `ip` (Debian: apt-get install iproute2)"
)

NOBODY = "02:00:00:00:00:99"
"""A hardware address that no end of a cable has."""


class Cable:
    """One of the two ways between this machine and the other.

    Args:
        namespace: the other machine.
        name: of the interface at either end.
        network: the first three numbers of its addresses.
    """

    def __init__(self, namespace: str, name: str, network: str) -> None:
        self._namespace = namespace
        self._name = name
        self.here, self.there = f"{network}.1", f"{network}.2"
        _ip("link", "add", name, "type", "veth", "peer", name, "netns", namespace)
        _ip("address", "add", f"{self.here}/30", "dev", name)
        _ip("link", "set", name, "up")
        _ip("-n", namespace, "address", "add", f"{self.there}/30", "dev", name)
        _ip("-n", namespace, "link", "set", name, "up")

    def cut(self) -> None:
        """Let nothing through any more, either way."""
        nobody = ("lladdr", NOBODY, "dev", self._name, "nud", "permanent")
        _ip("neigh", "replace", self.there, *nobody)
        _ip("-n", self._namespace, "neigh", "replace", self.here, *nobody)

    def mend(self) -> None:
        """Let all through again."""
        _ip("neigh", "del", self.there, "dev", self._name)
        _ip("-n", self._namespace, "neigh", "del", self.here, "dev", self._name)


class Machine:
    """Another machine, with a cable to each of two services here."""

    def __init__(self, namespace: str, network: int) -> None:
        self.postgres = Cable(namespace, f"{namespace}p", f"198.18.{network}")
        self.kafka = Cable(namespace, f"{namespace}k", f"198.19.{network}")
        self.within: Sequence[str] = ("ip", "netns", "exec", namespace)
        """Starts a program there: to be put before it."""


@contextmanager
def machine() -> Iterator[Machine]:
    """Have another machine while the block lasts; fail, saying what is needed, where none can be had."""
    if shutil.which("ip") is None or os.geteuid() != 0:
        pytest.fail(NEEDED, pytrace=False)
    number = os.getpid() % 254  # of networks, so that tests in processes side by side have one each
    namespace = f"relay{os.getpid() % 100_000}"
    try:
        _ip("netns", "add", namespace)
    except subprocess.CalledProcessError as error:
        pytest.fail(f"{NEEDED}; found: {error.stderr.strip()}", pytrace=False)
    try:
        yield Machine(namespace, number)
    finally:
        # Its ends of the cables go with it, and so do ours.
        _ip("netns", "delete", namespace)


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True, text=True)
