"""A relay's own time of day: the library of `clock.c`, made by the machine's C compiler, and the file that it reads."""

import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

SOURCE = Path(__file__).with_name("clock.c")


class Clock:
    """The clock of a program that is started with its environment.

    Args:
        folder: for the library and the file.
        name: of the file.
    """

    def __init__(self, folder: Path, name: str) -> None:
        self._file = folder / f"{name}.clock"
        self._file.write_bytes(bytes(8))
        self.environment: Mapping[str, str] = {"LD_PRELOAD": str(_library(folder)), "CLOCK_FILE": str(self._file)}

    def set(self, seconds: int) -> None:
        """Let it be so many seconds before the machine's clock, or behind it; the program sees it at once."""
        with self._file.open("r+b") as file:
            file.write(seconds.to_bytes(8, "little", signed=True))


def _library(folder: Path) -> Path:
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.fail(
            "no C compiler was found for the clock: install one (Debian: `apt install gcc libc6-dev`)", pytrace=False
        )
    library = folder / "clock.so"
    subprocess.run([compiler, "-shared", "-fPIC", "-O2", "-o", library, SOURCE, "-ldl"], check=True)
    return library
