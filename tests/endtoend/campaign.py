"""A campaign: customers come, people chat, one after another is struck and started again, and in the end all is well.

What happens follows from the seed; when it happens does not. Whoever was struck is started again at once, and is struck
again only once it is at work; the others are struck meanwhile. At the end everything must come to rest by itself, and
is then counted by a process of its own.
"""

import json
import random
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.endtoend.customers import Customer
from tests.endtoend.notes import Notes
from tests.endtoend.plan import DATABASE, KAFKA, Volley, plan
from tests.endtoend.rest import await_rest
from tests.endtoend.result import Result
from tests.endtoend.stage import LISTENERS, READY_SECONDS, SPEAKERS, Stage, stage
from tests.endtoend.striking import WELL, befall
from tests.endtoend.subscriber import subscriber
from tests.endtoend.talkers import Talking
from tests.endtoend.tally import Line
from tests.faults.campaign import revision
from tests.faults.world import wait_until

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Script:
    """What a campaign is to be.

    Args:
        seed: decides what happens.
        strikes: how many.
        customers: how many come at a time.
        pause: seconds between two visits of each.
        programs: what is run instead of the application's own program, by role.
    """

    seed: int
    strikes: int
    customers: int = 3
    pause: float = 0.3
    programs: Mapping[str, Sequence[str]] = field(default_factory=dict)


def run(script: Script, folder: Path, say: Say = print) -> Result:
    """Play a campaign, and count.

    Args:
        script: what it is to be.
        folder: for logs, data and notes.
        say: is told how it goes.
    """
    began = time.monotonic()
    with ExitStack() as running:
        posted_to = running.enter_context(subscriber(Notes(folder / "posts.jsonl")))
        here = running.enter_context(stage(folder, posted_to, script.programs))
        say(f"all {len(here.seats)} are at work after {time.monotonic() - began:.0f} s")
        volleys = plan(script.seed, script.strikes, list(here.seats))
        campaign = Campaign(here, script, say)
        rest = campaign.play(volleys)
        lines = counted(here.postgres.url(), folder)
    return Result(
        script.seed,
        [strike for volley in volleys for strike in volley],
        lines,
        campaign.troubles,
        rest,
        time.monotonic() - began,
        revision(),
    )


class Campaign:
    """One campaign on its stage."""

    def __init__(self, here: Stage, script: Script, say: Say) -> None:
        self._here = here
        self._script = script
        self._say = say
        self._dice = random.Random(f"{script.seed}-moments")
        self.troubles: list[str] = []

    def play(self, volleys: Sequence[Volley]) -> float:
        """Strike, then let all come to rest; return the seconds which that took."""
        with self._chat() as talking:
            with self._trade():
                time.sleep(1)
                for number, volley in enumerate(volleys, 1):
                    self._strike(f"{number}/{len(volleys)}", volley)
            talking.silent.set()
            began = time.monotonic()
            if left := await_rest(self._here, talking):
                self.troubles.append(f"there is still to do: {left}")
            rest = time.monotonic() - began
        self.troubles += [f"{name} ended with {code}" for name, code in self._here.leave().items() if code not in WELL]
        return rest

    def _strike(self, number: str, volley: Volley) -> None:
        self._await(volley)
        self._say(f"{number}: {', '.join(map(str, volley))}")
        with ThreadPoolExecutor(len(volley)) as pool:
            done = [pool.submit(befall, strike, self._here) for strike in volley]
            self.troubles += [trouble for each in done if (trouble := each.result())]
        time.sleep(self._dice.uniform(0.3, 2.0))

    def _await(self, volley: Volley) -> None:
        """Wait until those to be struck are at work; a server that all need is struck when all are."""
        victims = {strike.victim for strike in volley}
        for seat in self._here.seats.values():
            if seat.gave_up:
                self.troubles.append(f"{seat.name} ended by itself with {seat.process.process.returncode}")
                seat.start()
            if seat.name in victims or victims & {DATABASE, KAFKA}:
                wait_until(seat.role.ready, READY_SECONDS, seat.last_words)

    @contextmanager
    def _trade(self) -> Iterator[None]:
        """Let customers come; at the end each finishes what is begun."""
        stop, notes = threading.Event(), Notes(self._here.folder / "customers.jsonl")
        script = self._script
        customers = [
            Customer(self._here.applications, notes, random.Random(f"{script.seed}-{place}"), stop, script.pause)
            for place in range(script.customers)
        ]
        with ThreadPoolExecutor(script.customers) as pool:
            running = [pool.submit(customer.run) for customer in customers]
            try:
                yield
            finally:
                stop.set()
            self._demand("a customer", running)

    @contextmanager
    def _chat(self) -> Iterator[Talking]:
        """Let people chat; at the end those who listen leave."""
        talking = Talking(
            self._here.real_time, self._here.secret, Notes(self._here.folder / "talkers.jsonl"), self._script.seed
        )
        with ThreadPoolExecutor(1) as pool:
            running = pool.submit(talking.run, SPEAKERS, LISTENERS)
            try:
                yield talking
            finally:
                talking.silent.set()
                talking.over.set()
            self._demand("somebody who chats", [running])

    def _demand(self, who: str, running: Sequence[Future[None]]) -> None:
        for each in running:
            if error := each.exception():
                self.troubles.append(f"{who}: {error!r}")


def counted(url: str, folder: Path) -> list[Line]:
    """Have it counted by another process."""
    command = [sys.executable, "-m", "tests.endtoend.counting", url, str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return [Line(**each) for each in json.loads(done.stdout)]
