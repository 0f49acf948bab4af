"""A campaign: customers come, people chat, one after another is struck and started again, and in the end all is well.

What happens follows from the seed; when it happens does not. Whoever was struck is started again at once, and is struck
again only once it is at work; the others are struck meanwhile. At the end everything must come to rest by itself, and
is then counted by a process of its own.
"""

import json
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psycopg

from tests.endtoend import plan
from tests.endtoend.customers import Customer
from tests.endtoend.notes import Notes
from tests.endtoend.plan import DATABASE, DELAYS, FROZEN, KAFKA, KILLED, LOSES, STOPPED, Strike, Volley
from tests.endtoend.result import Result
from tests.endtoend.stage import CONSUMERS, LISTENERS, READY_SECONDS, SPEAKERS, Stage, stage
from tests.endtoend.subscriber import subscriber
from tests.endtoend.talkers import ROOM, Talking
from tests.endtoend.tally import Line
from tests.faults.campaign import revision
from tests.faults.world import wait_until

REST_SECONDS = 300.0
"""In which all must have come to rest: a mail whose answer was lost is tried again after half a minute."""

LEFT = """
-- left: what is still to be done, by whom
select 'purchases', count(*) from edu_matrix.purchases where state = 'pending'
union all
select 'relays', count(*) from outbox.message_state where state <> 'sent'
union all
select 'worker ' || c.consumer, count(*)
from unnest(%s::text[], %s::text[]) as c(consumer, topic) join outbox.message m on m.topic = c.topic
where not exists (select from worker.inbox i
                  where i.ce_id = m.id::text and i.consumer = c.consumer and i.outcome = 'handled')
group by c.consumer
union all
select 'held of ' || consumer, count(*) from worker.held group by consumer
union all
select 'deliveries', count(*) from worker.delivery where delivered_at is null
"""

NUMBERS = "select sequence from realtime.entry where room = %s and stream = 'chat'"

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
        volleys = plan.plan(script.seed, script.strikes, list(here.seats))
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
            self._rest(talking)
            rest = time.monotonic() - began
        # A server may end by its signal, as uvicorn does once it has finished.
        well = {0, -signal.SIGTERM}
        self.troubles += [f"{name} ended with {code}" for name, code in self._here.leave().items() if code not in well]
        return rest

    def _strike(self, number: str, volley: Volley) -> None:
        self._await(volley)
        self._say(f"{number}: {', '.join(map(str, volley))}")
        with ThreadPoolExecutor(len(volley)) as pool:
            for done in [pool.submit(self._do, strike) for strike in volley]:
                done.result()
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

    def _do(self, strike: Strike) -> None:
        match strike.kind, strike.victim:
            case _, plan.DATABASE:
                self._here.crash_database(0.5)
            case _, plan.KAFKA:
                self._here.kafka.kill()
                self._here.kafka.start()
            case kind, victim:
                seat = self._here.seats[victim]
                if kind == KILLED:
                    seat.kill()
                    seat.start()
                elif kind == STOPPED:
                    code = seat.leave()
                    if code not in (0, -signal.SIGTERM):
                        self.troubles.append(f"{victim}, asked to go, ended with {code}")
                    seat.start()
                elif kind == FROZEN:
                    seat.send(signal.SIGSTOP)
                    time.sleep(strike.seconds)
                    seat.send(signal.SIGCONT)
                else:
                    seat.send({LOSES: signal.SIGUSR1, DELAYS: signal.SIGUSR2}[kind])

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

    def _rest(self, talking: Talking) -> None:
        """Wait until nothing is left to do."""
        deadline, left = time.monotonic() + REST_SECONDS, dict[str, int]()
        while left := self._left(talking):
            if time.monotonic() > deadline:
                self.troubles.append(f"after {REST_SECONDS:.0f} s there is still to do: {left}")
                return
            time.sleep(0.3)

    def _left(self, talking: Talking) -> dict[str, int]:
        here = self._here
        try:
            found = here.ask(LEFT, list(CONSUMERS), list(CONSUMERS.values()))
            numbers = {number for (number,) in here.ask(NUMBERS, ROOM)}
        except psycopg.OperationalError as error:
            return {f"{DATABASE}: {error}": 1}
        unheard = {who: len(numbers - heard) for who, heard in talking.heard.items()}
        return {name: number for name, number in [*found, *unheard.items()] if number}


def counted(url: str, folder: Path) -> list[Line]:
    """Have it counted by another process."""
    command = [sys.executable, "-m", "tests.endtoend.counting", url, str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return [Line(**each) for each in json.loads(done.stdout)]
