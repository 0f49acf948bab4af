"""As whom, and where, PostgreSQL runs when this program is root: PostgreSQL refuses to.

It becomes the user `postgres`, or `nobody` where there is none. What that user cannot reach (a project below
/root, as in a container) is put into a temporary folder instead: the data always, the programs only when they
come from the wheel, for installed ones can be reached.
"""

import os
import pwd
import shutil
import subprocess
import tempfile
from contextlib import suppress
from pathlib import Path

from relay.local.binaries import WHEEL
from relay.local.process import Identity


class Home:
    """The folder of a PostgreSQL, one that it can use as whoever it runs.

    Args:
        directory: The folder that is wished for; made when it is not there.

    Attributes:
        identity: As whom the server's programs run.
        path: The folder to use: the one that was wished for, or a temporary one.
    """

    def __init__(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.identity = _identity()
        self.path = directory.resolve()
        self._temporary: Path | None = None
        if not _reaches(self.identity, self.path):
            self._temporary = self.path = Path(tempfile.mkdtemp(prefix="relay-postgres-"))
            self.path.chmod(0o711)

    def own(self, name: str) -> Path:
        """Return a folder in this one that belongs to the server's user, made when it is not there."""
        folder = self.path / name
        if not folder.exists():
            folder.mkdir(mode=0o700)
            if "user" in self.identity:
                os.chown(folder, self.identity["user"], self.identity["group"])
        return folder

    def programs(self, binaries: Path) -> Path:
        """Return where the server's user can run some programs: where they are, or a copy of the wheel's."""
        if _reaches(self.identity, binaries):
            return binaries
        install, package = binaries.parent, binaries.parent.parent
        copy = self.path / "programs" / package.name
        if not copy.exists():
            # The programs find their libraries by this path relative to their own.
            libraries = package.with_name(f"{WHEEL}.libs")
            shutil.copytree(libraries, copy.with_name(libraries.name), symlinks=True, dirs_exist_ok=True)
            shutil.copytree(install, copy / install.name, symlinks=True)
        return copy / install.name / binaries.name

    def leave(self) -> None:
        """Remove what was put outside the folder that was wished for."""
        if self._temporary:
            shutil.rmtree(self._temporary, ignore_errors=True)


def _identity() -> Identity:
    if os.geteuid() != 0:
        return {}
    for name in ("postgres", "nobody"):
        with suppress(KeyError):
            user = pwd.getpwnam(name)
            return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
    return {"user": 65534, "group": 65534, "extra_groups": []}


def _reaches(identity: Identity, folder: Path) -> bool:
    test = ["/bin/sh", "-c", 'test -x "$1"', "reach", str(folder)]
    return subprocess.run(test, check=False, cwd="/", **identity).returncode == 0
