"""Notes that outlive who writes them: a line of JSON each, given to the operating system before the call returns."""

import json
import time
from pathlib import Path
from typing import Any

Note = dict[str, Any]


class Notes:
    """Writes notes to the end of a file; several may, and none disturbs another."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def note(self, kind: str, **said: Any) -> None:
        """Write one, with the time."""
        line = json.dumps({"kind": kind, "at": time.time(), **said}).encode() + b"\n"
        with self._path.open("ab", buffering=0) as file:
            file.write(line)


def read(path: Path, *kinds: str) -> list[Note]:
    """Read the notes of some kinds, in order; none where nobody wrote any."""
    if not path.exists():
        return []
    notes: list[Note] = [json.loads(line) for line in path.read_text().splitlines()]
    return [note for note in notes if note["kind"] in kinds]
