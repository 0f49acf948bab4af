"""A small disk for a PostgreSQL, which a test can fill in a moment, and empty again.

It is a file system in memory where this program may mount one: full means that its size is set to what is used, so that
the next byte meets ENOSPC. Where it may not, the folder of the WAL is closed to the server instead: that refuses the
next WAL segment and nothing else, and `full` says so.
"""

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

PREFIX = "relay-disk-"
SIZE = "1g"


class Mounted:
    """A file system in memory of its own."""

    means = "no space is left on its file system"

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def full(self) -> None:
        """Leave no space; files that exist can be written as far as they reach."""
        deadline = time.monotonic() + 10
        # It cannot be made smaller than what is used, which grows while we ask.
        while not _mount("remount", self.folder, size=f"{shutil.disk_usage(self.folder).used // 1024}k"):
            assert time.monotonic() < deadline, "the file system could not be made smaller"

    def empty(self) -> None:
        """Have space again."""
        assert _mount("remount", self.folder, size=SIZE)


class Closed:
    """An ordinary folder, in which the server's WAL cannot grow for a while."""

    means = "the folder of its WAL is closed to it (no file system could be mounted here)"

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def full(self) -> None:
        """Let no WAL segment be made."""
        for wal in self.folder.rglob("pg_wal"):
            wal.chmod(0o500)

    def empty(self) -> None:
        """Let them be made again."""
        for wal in self.folder.rglob("pg_wal"):
            wal.chmod(0o700)


Disk = Mounted | Closed


@contextmanager
def small_disk() -> Iterator[Disk]:
    """Have a disk while the block lasts; what killed runs have left of theirs is removed before."""
    for left in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        # That nobody uses it at this moment proves nothing: its server may be down for a test's sake.
        if not psutil.pid_exists(int(left.name.split("-")[2])):
            _remove(left)
    folder = Path(tempfile.mkdtemp(prefix=f"{PREFIX}{os.getpid()}-"))
    folder.chmod(0o711)
    try:
        yield Mounted(folder) if _mount("nosuid", folder, size=SIZE) else Closed(folder)
    finally:
        _remove(folder)


def _mount(option: str, folder: Path, size: str) -> bool:
    options = f"{option},size={size},mode=0711"
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", folder], capture_output=True, check=False)
    return done.returncode == 0


def _remove(folder: Path) -> None:
    """Remove a disk that nobody uses."""
    if folder.is_mount() and subprocess.run(["umount", folder], capture_output=True, check=False).returncode != 0:
        return
    shutil.rmtree(folder, ignore_errors=True)
