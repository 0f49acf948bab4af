"""`python -m app_integration contracts`: compares what is checked in with what the code says, and writes it anew.

Written are the JSON Schemas with their index, and the relay's settings. A schema is not written over one that it
would break: that would hide from everybody that a new version is needed.
"""

import argparse
import json
import sys
from collections.abc import Iterable, Iterator
from importlib import import_module
from pathlib import Path

from app_integration.contracts import schemas
from app_integration.contracts.registry import MessageType
from app_integration.contracts.topics import relay_toml

PACKAGES = ("app_integration.contracts", "app_integration.example.events")
"""Where the types are whose schemas are in `docs/events`."""

SETTINGS = Path(__file__).with_name("relay.toml")
"""The relay's settings, ready to run, beside the topics that they are made from."""


def main(arguments: list[str]) -> int:
    """Compare or write; return the exit code: 0, 1 if something is not current, 2 for an incompatible change."""
    parser = argparse.ArgumentParser("python -m app_integration contracts", description="Schemas of all messages.")
    parser.add_argument("--write", action="store_true", help="write them; otherwise they are only compared")
    parser.add_argument("--folder", type=Path, default=Path("docs/events"), help="where they are (%(default)s)")
    parser.add_argument("--package", action="append", default=[], help="one with messages of your own; may be repeated")
    options = parser.parse_args(arguments)
    packages = options.package or PACKAGES
    kinds = find(packages)
    if broken := list(breaking(options.folder, kinds)):
        print(*broken, "register a new version, and keep the old one", sep="\n", file=sys.stderr)  # noqa: T201
        return 2
    wanted = files(options.folder, kinds)
    if not options.package:
        wanted[SETTINGS] = relay_toml()
    return write(wanted) if options.write else compare(wanted)


def find(packages: Iterable[str]) -> dict[str, MessageType]:
    """Import packages and give the types that they register."""
    for package in packages:
        import_module(package)
    return schemas.of_packages(packages)


def files(folder: Path, kinds: dict[str, MessageType]) -> dict[Path, str]:
    """Give what the files of a folder should contain."""
    wanted = {folder / f"{name}.json": schemas.as_text(schemas.schema(kind)) for name, kind in kinds.items()}
    return {**wanted, folder / "README.md": schemas.index(kinds)}


def breaking(folder: Path, kinds: dict[str, MessageType]) -> Iterator[str]:
    """Tell which of the schemas in a folder the code breaks, a line for each change."""
    for path in sorted(folder.glob("*.v*.json")):
        name = path.stem
        if name not in kinds:
            yield f"{name}: is in {folder}, and no longer registered"
            continue
        old = json.loads(path.read_text(encoding="utf-8"))
        yield from (f"{name}: {change}" for change in schemas.incompatible(old, schemas.schema(kinds[name])))


def compare(wanted: dict[Path, str]) -> int:
    """Say which files are not as they should be."""
    stale = [path for path, text in wanted.items() if not path.exists() or path.read_text(encoding="utf-8") != text]
    for path in stale:
        print(f"{path} is not current; run: python -m app_integration contracts --write", file=sys.stderr)  # noqa: T201
    return 1 if stale else 0


def write(wanted: dict[Path, str]) -> int:
    """Write the files."""
    for path, text in wanted.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    print(f"{len(wanted)} files are current")  # noqa: T201
    return 0
