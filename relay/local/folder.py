"""The folder of a program that leaves nothing behind: its own while it runs, and gone with it."""

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from relay.errors import UserMistake


@contextmanager
def own_folder(folder: Path, program: str) -> Iterator[Path]:
    """Make a folder and remove it at the end, also one that a killed program left here.

    Args:
        folder: where.
        program: what the program is called, for the error's text.

    Raises:
        UserMistake: another one is using it, or it cannot be made.
    """
    try:
        folder.mkdir(exist_ok=True)
    except OSError as error:
        raise UserMistake(f"the {program} needs a folder {folder.resolve()}: {error.strerror}") from None
    in_use = os.open(folder, os.O_RDONLY)
    try:
        _lock(folder, in_use, program)
        for left in folder.iterdir():
            shutil.rmtree(left) if left.is_dir() else left.unlink()
        try:
            yield folder.resolve()
        finally:
            shutil.rmtree(folder)
    finally:
        os.close(in_use)


def _lock(folder: Path, opened: int, program: str) -> None:
    """Take the folder for this process; it is free again when that ends, however it ends."""
    try:
        fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise UserMistake(f"another {program} is running in {folder.resolve()}: wait for its end") from None
