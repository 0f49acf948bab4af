"""The command `python -m tests.faults`: plays campaigns for as many faults as one likes, and says what was found.

A long run is a row of campaigns, each with a seed of its own that follows from the first, so that any of them can be
played again alone. Exit codes: 0 every promise held, 1 one did not.
"""

import argparse
import json
import logging
import random
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path

from relay.bench import report
from relay.local.postgres import Postgres
from tests.faults import page
from tests.faults.campaign import Script, run
from tests.faults.report import summary, table
from tests.faults.result import Result, rows_of

MOST = 60
"""Faults of one campaign; behind them another begins, with empty servers."""

LONG = 60
"""Faults of a run that is worth to be shown in the docs: a whole campaign."""


def main() -> int:
    """Play what the arguments ask for; return the exit code."""
    logging.getLogger("psycopg").setLevel(logging.ERROR)  # sessions are lost all the time here
    options = _options()
    results: list[Result] = []
    played = earlier(options.json) if options.resume else {}
    for script in scripts(options.seed, options.faults):
        results.append(played.get(script.seed) or play(script, keep=options.keep))
        if options.json:
            options.json.write_text(json.dumps([each.as_json() for each in results], indent=1) + "\n")
    if options.docs and options.faults >= LONG:
        page.keep(results, machine(), f"make faults N={options.faults} SEED={options.seed}")
    if len(results) > 1:
        tell(table(rows_of([step for result in results for step in result.steps])))
    return 1 if any(result.broken for result in results) else 0


def earlier(found: Path) -> dict[int, Result]:
    """Read the campaigns of a run that was interrupted, by seed."""
    return {values["seed"]: Result.from_json(values) for values in json.loads(found.read_text())}


def scripts(seed: int, faults: int) -> Iterator[Script]:
    """Share out faults among campaigns; the seed of the first one is the run's."""
    while faults > 0:
        yield Script(seed, min(faults, MOST))
        faults -= MOST
        seed = random.Random(seed).randrange(10**6)


def machine() -> Mapping[str, str]:
    """Describe what the figures are of."""
    with tempfile.TemporaryDirectory() as folder, Postgres(Path(folder)) as server:
        return report.machine(server.url())


def play(script: Script, *, keep: bool) -> Result:
    """Play one campaign; its logs stay where it is broken, or where they are wanted."""
    folder = Path(tempfile.mkdtemp(prefix="relay-faults-"))
    result = run(script, folder, tell)
    tell(summary(result))
    if result.broken or keep:
        tell(f"logs are in {folder}")
    else:
        shutil.rmtree(folder)
    return result


def tell(line: str) -> None:
    """Print a line at once, with the time of day, by which it is found in the logs."""
    print(f"{datetime.now().astimezone():%H:%M:%S} {line}", flush=True)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.faults", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--faults", type=int, default=MOST, help="how many")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6), help="what decides them")
    parser.add_argument("--json", type=Path, help="write what was found to this file")
    parser.add_argument("--resume", action="store_true", help="play no campaign again that the file of --json has")
    parser.add_argument("--docs", action="store_true", help=f"put a run of {LONG} or more into docs/reliability.md")
    parser.add_argument("--keep", action="store_true", help="keep the logs, also where every promise held")
    options = parser.parse_args()
    if options.resume and not (options.json and options.json.exists()):
        parser.error("--resume goes on from a file: name it with --json, it must exist")
    return options


if __name__ == "__main__":
    sys.exit(main())
