"""The command `python -m bench [PART]...`: measures at the long scale, for the docs; what it found outlives it.

Exit codes are those of `relay bench`.
"""

import argparse
import os
import sys
from pathlib import Path

from bench import page, store
from relay.bench import table
from relay.bench.command import interruptible
from relay.bench.parts import CATALOGUE, chosen
from relay.bench.report import Report
from relay.bench.scale import LONG, QUICK, STANDARD, Scale
from relay.configuration.loading import load
from relay.errors import RelayError, UserMistake

SCALES = {"quick": QUICK, "standard": STANDARD, "long": LONG}


def main() -> int:
    """Measure what the arguments ask for; return the exit code."""
    options = _options()
    try:
        return _measure(tuple(options.parts), options.folder, SCALES[options.scale], resume=options.resume)
    except RelayError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 2 if isinstance(error, UserMistake) else 1


def _measure(names: tuple[str, ...], folder: Path, scale: Scale, *, resume: bool) -> int:
    stored = store.load(folder) if resume else {}
    parts = [part for part in chosen(names) if part.name not in stored]

    def keep(part: str, report: Report) -> None:
        store.keep(folder, part, report)

    def present(_: Report) -> None:
        page.renew(folder)
        table.show(store.together(store.load(folder).values()))

    if parts:
        return interruptible(parts, scale, load(os.environ, needs=()), keep=keep, then=present)
    page.renew(folder)
    print("every part that was asked for is stored already", file=sys.stderr)
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    names = ", ".join(entry.name for entry in CATALOGUE)
    parser.add_argument("parts", metavar="PART", nargs="*", help=f"what to measure; all unless named: {names}")
    parser.add_argument("--resume", action="store_true", help="leave out the parts that are stored already")
    parser.add_argument("--scale", choices=SCALES, default="long", help="how large; quick only shows that it works")
    parser.add_argument("--folder", type=Path, default=store.FOLDER, help="where figures and plots are stored")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
