"""A throwaway PostgreSQL that can be crashed, paused and started again, on the same port with the same data.

It is a real one: `fsync` is on, and what a crash may lose is what PostgreSQL itself would lose. It listens on
127.0.0.1 only, without a password and without a socket file, so it is for data that nobody minds losing or
showing to another user of this machine. Nothing here knows of the outbox.
"""

import atexit
import ctypes
import signal
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Self

import psycopg

from relay.local.binaries import find_binaries, installed_binaries, wheel_binaries
from relay.local.process import (
    Process,
    ServiceUnavailable,
    alive,
    await_answer,
    children,
    free_port,
    signal_all,
)
from relay.local.unprivileged import Home

__all__ = ["Postgres", "find_binaries", "installed_binaries", "wheel_binaries"]

SETTINGS = MappingProxyType(
    {
        "listen_addresses": "127.0.0.1",
        "unix_socket_directories": "",
        # In a file of the data folder: the default leaves one in /dev/shm when the server is killed.
        "dynamic_shared_memory_type": "mmap",
        "shared_buffers": "64MB",
        "max_wal_size": "512MB",
        "timezone": "UTC",
        "lc_messages": "C",
        "log_line_prefix": "%m [%p] ",
    }
)
"""What differs from PostgreSQL's own defaults."""

START_SECONDS = 60.0
"""Long, because a start after a crash first replays up to `max_wal_size` of log."""


class Postgres:
    """A PostgreSQL server in a folder.

    Args:
        directory: Its folder, made when it is not there; a cluster found in it is used.
        binaries: The folder of the programs to run; None for what `find_binaries` finds.
        settings: Values for `postgresql.conf`, above `SETTINGS`.
        follows: The running server, of the same version, that this one is to be a standby of; it is made from a base
            backup of that. Its `cluster_name` is what `synchronous_standby_names` knows it by.

    Attributes:
        port: The TCP port on 127.0.0.1, the same for as long as this object lives.
        log: The server's log file.
    """

    def __init__(
        self,
        directory: Path,
        binaries: Path | None = None,
        settings: Mapping[str, str] = MappingProxyType({}),
        *,
        follows: "Postgres | None" = None,
    ) -> None:
        self._home = Home(directory)
        self._binaries = self._home.programs(binaries or find_binaries())
        self.port = free_port()
        self.log = directory / "postgres.log"
        self._settings = {**SETTINGS, "port": str(self.port), **settings}
        self._data = self._home.path / "data"
        self._follows = follows
        self._process: Process | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def url(self, database: str = "postgres") -> str:
        """Return the connection URL of a database of this server."""
        return f"postgresql://postgres@127.0.0.1:{self.port}/{database}"

    @property
    def pid(self) -> int:
        """The process id of the running server (of its first process, the postmaster)."""
        return self._running().pid

    @property
    def running(self) -> bool:
        """Whether it was started, not stopped, and has not ended by itself."""
        return self._process is not None and self._process.running

    def start(self) -> None:
        """Start the server and return once it accepts connections; after a crash, once it has recovered.

        Raises:
            ServiceUnavailable: It does not start; the text has the end of its log.
        """
        if self._process is not None and not self._process.running:
            # It ended by itself, as it does when its disk is full; what guarded it goes too.
            self._process.end()
        if not (self._data / "PG_VERSION").exists():
            self._initialize()
        lines = [f"{name} = '{value}'\n" for name, value in self._settings.items()]
        (self._data / "postgresql.conf").write_text("".join(lines))
        self._process = Process(
            [str(self._binaries / "postgres"), "-D", str(self._data)],
            self.log,
            directory=self._data,
            identity=self._home.identity,
            # An immediate shutdown: the server ends its own processes and frees its shared memory.
            farewell=signal.SIGQUIT,
        )
        atexit.register(self.close)
        await_answer(self._process, self.log, START_SECONDS, self._answers)

    def stop(self) -> None:
        """Shut the server down in order: sessions end, everything is written. `start` goes on from there."""
        if self._process is None:
            return
        self.resume()
        self._process.end(signal.SIGINT)
        self._process = None

    def crash(self) -> None:
        """Kill all processes of the server at one moment, and free its shared memory, as a power cut would.

        Unlike at a power cut, what was handed to the operating system stays. What was only in the server's
        own buffers, such as the last commits made with `synchronous_commit = off`, is lost.
        """
        process = self._running()
        # Stopped first, the server can neither start another process nor see the others end.
        process.send(signal.SIGSTOP)
        pids = children(process.pid)
        signal_all(pids, signal.SIGKILL)
        process.end(signal.SIGKILL)
        while alive(pids):
            time.sleep(0.002)
        self._free_shared_memory()
        self._process = None

    def promote(self) -> None:
        """Make a primary of a standby: it replays what it has received, and takes writes from then on.

        Raises:
            ServiceUnavailable: It did not happen within a minute.
        """
        with psycopg.connect(self.url(), autocommit=True) as connection:
            if connection.execute("select pg_promote(true, 60)").fetchone() != (True,):
                raise ServiceUnavailable(f"a standby was not promoted within 60 s; its log is {self.log}")

    def pause(self) -> None:
        """Stop all processes of the server with SIGSTOP: connections stay open and get no answer."""
        process = self._running()
        process.send(signal.SIGSTOP)
        signal_all(children(process.pid), signal.SIGSTOP)

    def resume(self) -> None:
        """Let a paused server go on; nothing happens to one that was not paused."""
        process = self._running()
        signal_all(children(process.pid), signal.SIGCONT)
        process.send(signal.SIGCONT)

    def close(self) -> None:
        """Stop the server for good and remove what it had to put outside its folder."""
        atexit.unregister(self.close)
        self.stop()
        self._home.leave()

    def _running(self) -> Process:
        if self._process is None:
            raise ServiceUnavailable("this PostgreSQL is not running: start it first")
        return self._process

    def _answers(self) -> bool:
        try:
            psycopg.connect(self.url(), connect_timeout=2).close()
        except psycopg.OperationalError:
            return False
        return True

    def _initialize(self) -> None:
        data = self._home.own("data")
        # Without --no-sync it would spend seconds on a slow disk, to survive what only a real power cut does.
        program, options = "initdb", ["--username=postgres", "--auth=trust", "--encoding=UTF8", "--locale=C"]
        if self._follows:
            program, options = "pg_basebackup", ["--dbname", self._follows.url(), "--write-recovery-conf"]
            options += ["--checkpoint=fast"]
        done = subprocess.run(
            [self._binaries / program, "-D", data, "--no-sync", *options],
            capture_output=True,
            text=True,
            check=False,
            cwd=data,
            **self._home.identity,
        )
        if done.returncode != 0:
            raise ServiceUnavailable(f"{program} of {self._binaries} ended with {done.returncode}:\n{done.stderr}")

    def _free_shared_memory(self) -> None:
        """Remove the System V segment that tells a new server of an old one; a power cut leaves none."""
        # The seventh line of postmaster.pid is its key and id (PostgreSQL, src/include/utils/pidfile.h).
        lines = (self._data / "postmaster.pid").read_text().splitlines()
        for segment in map(int, " ".join(lines[6:7]).split()[1:]):
            remove = 0  # IPC_RMID of shmctl(2), on Linux, macOS and the BSDs
            ctypes.CDLL(None).shmctl(segment, remove, None)
