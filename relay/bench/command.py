"""The command `relay bench`: what it is asked for is checked before minutes are spent, then measured and shown."""

import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from relay.bench import plot as plots
from relay.bench import table
from relay.bench.alone import alone
from relay.bench.part import Part
from relay.bench.parts import chosen
from relay.bench.play import play
from relay.bench.report import Report
from relay.bench.scale import QUICK, STANDARD, Scale
from relay.configuration.settings import Settings
from relay.local.interruption import Interrupted, Interruption
from relay.show_json import show_json


def bench(settings: Settings, names: tuple[str, ...], *, quick: bool, plot: Path | None, json: bool) -> int:
    """Measure and show.

    Args:
        settings: where the servers are; what they do not name is started.
        names: the parts; all of them when empty.
        quick: whether to only show that it works.
        plot: the file to draw to.
        json: whether to print JSON.

    Returns:
        The exit code: 0, also when a goal is missed, or 128 and the signal's number when it was interrupted.

    Raises:
        UserMistake: a part or a file's kind is unknown, a package is missing, a server is named that cannot be used.
        WorkFailed: a server is silent, or what is measured failed.
    """
    parts = chosen(names)
    if plot:
        plots.check(plot)

    def present(report: Report) -> None:
        # Drawn first: whoever reads the table may close the pipe before its end.
        if plot:
            plots.draw(report, plot)
        show_json(report.as_json()) if json else table.show(report)

    return interruptible(parts, QUICK if quick else STANDARD, settings, then=present)


def interruptible(
    parts: Sequence[Part],
    scale: Scale,
    settings: Settings,
    *,
    keep: Callable[[str, Report], object] = lambda *_: None,
    then: Callable[[Report], object],
) -> int:
    """Measure, and remove everything that was made when told to stop.

    Args:
        parts: what.
        scale: how large.
        settings: where the servers are; what they do not name is started.
        keep: is given each part's name and what it found, once it is over.
        then: is given all of it.

    Returns:
        The exit code.

    Raises:
        UserMistake: a server is named that cannot be used.
        WorkFailed: a server is silent, or what is measured failed.
    """
    interruption = Interruption()
    with interruption.handled():
        try:
            with alone(settings.database_url), table.watching(parts) as watch:
                report = play(parts, scale, settings, watch, armed=interruption.armed, keep=keep)
        except Interrupted as interrupted:
            print(f"relay: {interrupted}: stopped, and what was made for it is removed", file=sys.stderr)  # noqa: T201 - its last word
            return interrupted.exit_code
    then(report)
    return 0
