"""A campaign: writers go on, faults strike one after another, and after each the relays must catch up by themselves.

Everything that it does follows from its seed; when it happens does not, for threads and servers have their own
time. A fault is over when the servers are up and the ways open. From there the clock runs until all that was committed
has arrived and every relay is at work again. If that takes longer than it may, somebody would have to be called, and
the campaign ends there, broken.
"""

import subprocess
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from relay.judge import Seen
from tests.faults.crowd import LONGEST_DELAY, crowd, eccentrics
from tests.faults.kinds import KINDS, Kind
from tests.faults.plan import AT_ONCE, Volley, plan
from tests.faults.result import Result, Step
from tests.faults.stage import TOPICS, Stage, stage, window
from tests.faults.tally import Mark, tally
from tests.faults.world import wait_until

CALM_SECONDS = 3.0
"""How long nothing happens at the beginning, when nothing may be repeated either."""

CALM = "no fault"

AT_REST = {"sent", "dead", "discarded"}
"""The states of messages that no relay has to do anything about."""

Say = Callable[[str], None]


class Campaign:
    """One campaign on its stage, with its judge.

    Args:
        here: the stage.
        patience: seconds in which the relays must have caught up after a fault.
        say: is told how it goes.
    """

    def __init__(self, here: Stage, patience: float, say: Say) -> None:
        self.stage = here
        self._patience = patience
        self._say = say
        self._marks: list[Mark] = []
        self._arrived: set[str | None] = set()
        self._looked_at = 0
        self.troubles: list[str] = []

    def step(self, number: str, volley: Volley | None, calm: float = CALM_SECONDS) -> Step:
        """Let some faults strike, or nothing for a while; mend them, and wait until the relays have caught up."""
        self._marks.append(Mark(len(self.stage.watch.seen), time.time()))
        kind, told = (volley.kind, str(volley)) if volley else (CALM, CALM)
        self._say(f"{number}: {told}")
        with ExitStack() as struck:
            faults = [fault for _, fault in volley.faults] if volley else []
            for fault in sorted(faults, key=lambda each: not each.needs_calm):
                struck.enter_context(fault.befall(self.stage))
            time.sleep(volley.seconds if volley else calm)
        seconds = self._catch_up()
        self._say(f"{number}: {'never caught up' if seconds is None else f'caught up in {seconds:.1f} s'}")
        return Step(kind, told, len(volley.faults) if volley else 0, seconds)

    def _catch_up(self) -> float | None:
        """Wait until what is committed by now has come, and all relays are at work; return the seconds, if it does."""
        began = time.monotonic()
        due = self.stage.ledger.due() - self.stage.discarded
        if not self.stage.watch.wait_for(lambda seen: due <= self._distinct(seen), self._patience):
            missing = sorted(due - self._arrived)
            example = self.stage.state(missing[0])
            self.troubles.append(
                f"{len(missing)} messages had not come after {self._patience:.0f} s, such as {example}"
            )
        while not self.troubles and not self.stage.shared_out():
            if time.monotonic() - began > self._patience:
                self.troubles.append(
                    f"the shards are not shared out after {self._patience:.0f} s: {self.stage.owners()}"
                )
            time.sleep(0.05)
        self.troubles += [f"relay {name} ended by itself" for name in self.stage.gave_up()]
        return None if self.troubles else time.monotonic() - began

    def demand_rest(self) -> None:
        """Wait until nothing is left to do by the outbox's own account: what arrived is sent, what is held is dead."""
        began = time.monotonic()
        while not self.troubles and not self.stage.states().keys() <= AT_REST:
            if time.monotonic() - began > self._patience:
                self.troubles.append(
                    f"{dict(self.stage.states())} after {self._patience:.0f} s, though all has arrived"
                )
            time.sleep(0.1)

    def _distinct(self, seen: Sequence[Seen]) -> set[str | None]:
        self._arrived.update(message.id for message in seen[self._looked_at :])
        self._looked_at = len(seen)
        return self._arrived

    def count(self, steps: Sequence[Step]) -> list[Step]:
        """End the judge, and count what became of each message in each step."""
        self._marks[0] = Mark(0, 0.0)
        ledger = self.stage.ledger
        counts = tally(
            ledger.committed(), self.stage.watch.finish(), self._marks, ledger.withheld() | self.stage.discarded
        )
        return [step.counted(each) for step, each in zip(steps, counts, strict=True)]


@dataclass(frozen=True, slots=True)
class Script:
    """What a campaign is to be.

    Args:
        seed: decides what happens.
        faults: how many.
        kinds: which may come.
        at_once: how many strike at once, one of these.
        broken: which promise the relays are to break on purpose, of `breakages`.
        patience: seconds in which the relays must have caught up after a fault.
    """

    seed: int
    faults: int
    kinds: Sequence[Kind] = KINDS
    at_once: Sequence[int] = AT_ONCE
    broken: str | None = None
    patience: float = 90.0

    @property
    def program(self) -> Sequence[str]:
        """What each relay runs."""
        return ("tests.faults.program", self.broken) if self.broken else ("relay",)


def run(script: Script, folder: Path, say: Say = print) -> Result:
    """Play a campaign, and judge it.

    Args:
        script: what it is to be.
        folder: for the relays' logs and the servers' data.
        say: is told how it goes.
    """
    began = time.monotonic()
    volleys = plan(script.seed, script.faults, script.kinds, script.at_once)
    topics = [*TOPICS, *(topic for volley in volleys for _, fault in volley.faults for topic in fault.topics)]
    with ExitStack() as cleanup:
        here = cleanup.enter_context(stage(folder, script.seed, script.program, topics))
        campaign = Campaign(here, script.patience, say)
        wait_until(here.shared_out, 60, lambda: f"the relays never began: {here.owners()}")
        steps = _play(campaign, volleys, script.seed)
        for topic in topics:
            if topic not in here.admin.list_topics(timeout=10).topics:
                # The campaign ended before it came, and the judge wants to read it to its end.
                here.make_topic(topic, 1)
        return Result(
            script.seed,
            campaign.count(steps),
            campaign.troubles,
            window(script.seed),
            time.monotonic() - began,
            revision(),
        )


def _play(campaign: Campaign, volleys: Sequence[Volley], seed: int) -> list[Step]:
    with ExitStack() as at_work:
        at_work.enter_context(crowd(campaign.stage, seed))
        steps = [campaign.step("0", None)]
        at_work.enter_context(eccentrics(campaign.stage, seed))
        for number, volley in enumerate(volleys, 1):
            if campaign.troubles:
                break
            steps.append(campaign.step(f"{number}/{len(volleys)}", volley))
    if not campaign.troubles:
        steps.append(campaign.step("end", None, LONGEST_DELAY))
        campaign.demand_rest()
    return steps


def revision() -> str:
    """Name the commit that was tried, if it can be known."""
    done = subprocess.run(["git", "describe", "--always", "--dirty"], capture_output=True, text=True, check=False)
    return done.stdout.strip()
