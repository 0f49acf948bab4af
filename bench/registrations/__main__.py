"""Starts everything, registers people with both, and prints the table; `--docs` puts it into docs/performance.md."""

import argparse
import asyncio
import http.client
import os
import statistics
import sys
import tempfile
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from app_integration.example.cast import Cast, Ports, environment, prepare
from bench import section
from bench.registrations.load import Mails, flood, mail_server, steady
from relay.bench.latency import percentile
from relay.local.process import Process, await_answer, free_port
from relay.local.services import services

REPOSITORY = Path(__file__).parents[2]
COMMAND = "python -m bench.registrations --docs"
START_SECONDS = 120.0


@dataclass
class Found:
    """What the runs of one way found."""

    rates: list[float] = field(default_factory=list)
    """Registrations a second, of each run."""
    mailed: list[float] = field(default_factory=list)
    """Milliseconds until the mail was accepted, of each registration."""
    answered: list[float] = field(default_factory=list)
    """Milliseconds until the answer."""


def main() -> None:
    """Measure both, in turn."""
    options = _options()
    with ExitStack() as running:
        folder = Path(running.enter_context(tempfile.TemporaryDirectory()))
        folder.chmod(0o755)  # a PostgreSQL of another user lives in it
        given = running.enter_context(services(folder))
        about = section.about(given.database_url)
        prepare(given)
        ports, smtp, port = Ports.choose(0), free_port(), free_port()
        variables = {**environment(given, ports, os.environ), "SMTP_PORT": str(smtp), "PYTHONPATH": str(REPOSITORY)}
        cast = Cast(folder, variables, ports)
        running.callback(cast.leave)
        cast.enter()
        direct = _direct(folder, variables, port)
        running.callback(direct.end)
        urls = {"relay": f"http://127.0.0.1:{ports.page}", "direct": f"http://127.0.0.1:{port}"}
        found = asyncio.run(_measure(urls, smtp, options))
        cast.demand_all()
    section.tell("registrations", COMMAND, table(found, options, about), docs=options.docs)


def _direct(folder: Path, variables: Mapping[str, str], port: int) -> Process:
    log = folder / "direct.log"
    command = [sys.executable, "-m", "bench.registrations.direct", str(port)]
    started = Process(command, log, directory=REPOSITORY, environment=variables)

    def answers() -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        try:
            connection.request("GET", "/api/health")
            return connection.getresponse().status == http.HTTPStatus.OK
        except OSError:
            return False
        finally:
            connection.close()

    await_answer(started, log, START_SECONDS, answers)
    return started


async def _measure(urls: Mapping[str, str], smtp: int, options: argparse.Namespace) -> dict[str, Found]:
    found = {name: Found() for name in urls}
    async with mail_server(smtp) as mails:
        for name, url in urls.items():  # connections and caches, of workers too
            print(f"warming up: {name}", file=sys.stderr)
            await flood(mails, url, options.clients, 2)
        for run in range(options.runs):
            for name, url in sorted(urls.items(), reverse=run % 2 == 0):
                print(f"run {run + 1} of {options.runs}: {name}", file=sys.stderr)
                await _run(mails, url, found[name], options)
        assert mails.repeated == 0, f"{mails.repeated} mails came twice, and nothing had failed"
    return found


async def _run(mails: Mails, url: str, found: Found, options: argparse.Namespace) -> None:
    found.rates.append(await flood(mails, url, options.clients, options.seconds))
    mailed, answered = await steady(mails, url, options.per_second, options.seconds)
    found.mailed += mailed
    found.answered += answered


def table(found: Mapping[str, Found], options: argparse.Namespace, about: str) -> str:
    """Write what was found, as Markdown."""
    relay, direct = found["relay"], found["direct"]
    rates = statistics.median(relay.rates), statistics.median(direct.rates)
    rows = [(f"registrations/s to mail accepted, {options.clients} clients at a time", "", rates)]
    for what, ours, theirs in (
        ("request to mail accepted", relay.mailed, direct.mailed),
        ("request to answer", relay.answered, direct.answered),
    ):
        rows += [
            (
                f"{what}, {options.per_second:g}/s, p{percent}",
                " ms",
                (percentile(ours, percent), percentile(theirs, percent)),
            )
            for percent in (50, 99)
        ]
    head = "| | outbox, relay, email worker | the mail in the request, no outbox | ratio |\n|---|---|---|---|"
    lines = [f"| {what} | {a:,.1f}{unit} | {b:,.1f}{unit} | {a / b:.2f} |" for what, unit, (a, b) in rows]
    spread = ", ".join(f"{a / b:.2f}" for a, b in zip(relay.rates, direct.rates, strict=True))
    told = (
        f"Median of {options.runs} runs of {options.seconds:g} s; ratio of the rates by run: {spread}; "
        f"{len(relay.mailed)} registrations each at {options.per_second:g}/s. {about}"
    )
    return "\n".join([head, *lines, "", told])


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m bench.registrations", description=__doc__)
    parser.add_argument("--clients", type=int, default=8, help="who register at a time, without a pause (%(default)s)")
    parser.add_argument("--per-second", type=float, default=5.0, help="of the steady load (%(default)s)")
    parser.add_argument("--seconds", type=float, default=30.0, help="of each load (%(default)s)")
    parser.add_argument("--runs", type=int, default=3, help="of each way (%(default)s)")
    parser.add_argument("--docs", action="store_true", help="put the table into docs/performance.md")
    return parser.parse_args()


if __name__ == "__main__":
    main()
