"""The command `python -m tests.endtoend`: Edu Matrix whole, as many kills as one likes, and what came of everything.

Exit codes: 0 every promise held, 1 one did not.
"""

import argparse
import json
import logging
import random
import shutil
import sys
import tempfile
from pathlib import Path

from tests.endtoend import page
from tests.endtoend.breakages import BREAKAGES
from tests.endtoend.campaign import Script, run
from tests.endtoend.result import summary
from tests.endtoend.stage import CONSUMERS
from tests.faults.__main__ import machine, tell

LONG = 60
"""Strikes of a run that is worth to be shown in the docs."""


def main() -> int:
    """Play what the arguments ask for; return the exit code."""
    logging.getLogger("psycopg").setLevel(logging.ERROR)  # sessions are lost now and then here
    options = _options()
    described = machine() if options.docs else {}
    folder = Path(tempfile.mkdtemp(prefix="relay-endtoend-"))
    folder.chmod(0o755)
    broken = ("tests.endtoend.program", options.broken)
    programs = {f"{name} worker": broken for name in CONSUMERS} if options.broken else {}
    found = run(Script(options.seed, options.kills, options.customers, programs=programs), folder, tell)
    tell(summary(found))
    if options.json:
        options.json.write_text(json.dumps(found.as_json(), indent=1) + "\n")
    if options.docs and options.kills >= LONG and not options.broken:
        page.keep(found, described, f"make endtoend N={options.kills} SEED={options.seed}")
    if found.broken or options.keep:
        tell(f"logs and notes are in {folder}")
    else:
        shutil.rmtree(folder)
    return 1 if found.broken else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.endtoend", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=LONG, help="how many strikes (%(default)s)")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6), help="what decides them")
    parser.add_argument("--customers", type=int, default=3, help="how many come at a time (%(default)s)")
    parser.add_argument("--json", type=Path, help="write what was found to this file")
    parser.add_argument("--docs", action="store_true", help=f"put a run of {LONG} or more into docs/edu-matrix.md")
    parser.add_argument("--keep", action="store_true", help="keep logs and notes, also where every promise held")
    parser.add_argument("--broken", choices=BREAKAGES, help="a promise that all workers break, to see it noticed")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
