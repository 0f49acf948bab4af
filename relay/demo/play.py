"""What happens when, and the exit code. Everything that is started here is stopped here, on every way out."""

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import psycopg

from relay.connection import first_line
from relay.demo.actors import RELAY, WRITERS, Actor
from relay.demo.figures import Counter, Figures
from relay.demo.outcome import outcome
from relay.demo.screen import Screen
from relay.demo.stage import Stage, build
from relay.errors import RelayError, UserMistake
from relay.judge import watching
from relay.local.folder import own_folder
from relay.local.interruption import Interrupted, Interruption, no_child_left
from relay.printable import counted

FOLDER = Path(".demo")
TICK_SECONDS = 0.25


@dataclass(frozen=True, slots=True)
class Plan:
    """The times, in seconds from the start of the writers, and how many writers there are."""

    kill: float = 6.0
    restart: float = 11.0
    write: float = 18.0
    patience: float = 20.0
    """How long the relays may take, once nothing more is written, until everything has arrived."""
    writers: int = 4


def run(relay_command: Sequence[str] = RELAY, plan: Plan | None = None) -> int:
    """Show the main job end to end in the folder `.demo`, which is gone afterwards, and judge it.

    Args:
        relay_command: the relay to put to the test; it is told what it needs by the environment.
        plan: what happens when.

    Returns:
        0 when every promise held; 1 when one was broken, or the work could not be done; 2 when something must
        be mended first; 128 and the signal's number when it was interrupted.
    """
    screen = Screen()
    interruption = Interruption()
    with interruption.handled():
        try:
            with no_child_left(), ExitStack() as stack, interruption.armed():
                folder = stack.enter_context(own_folder(FOLDER, "demo"))
                stage = build(folder, stack, screen.say)
                held = Play(stage, stack, screen, relay_command, plan or Plan()).perform()
        except Interrupted as interrupted:
            screen.say(f"{interrupted}: everything is stopped and removed, there is no verdict")
            return interrupted.exit_code
        except RelayError as error:
            screen.say(f"the demo cannot go on: {error}")
            return 2 if isinstance(error, UserMistake) else 1
        except psycopg.Error as error:
            screen.say(f"the demo cannot go on, its database is gone: {first_line(error)}")
            return 1
    return 0 if held else 1


class Play:
    """The play itself, on a stage that stands."""

    def __init__(
        self, stage: Stage, stack: ExitStack, screen: Screen, relay_command: Sequence[str], plan: Plan
    ) -> None:
        self._plan = plan
        self._stage = stage
        self._screen = stack.enter_context(screen)
        watch = stack.enter_context(watching(stage.brokers, stage.topics, variables=stage.security))
        connection = stack.enter_context(psycopg.connect(stage.database_url, autocommit=True))
        self._counter = Counter(stage.database_url, connection, watch)
        self._relays = [Actor(name, relay_command, stage, stack) for name in ("relay-1", "relay-2")]
        arguments = ("--writers", str(plan.writers), "--seconds", str(plan.write))
        self._writers = Actor("writers", [*WRITERS, *arguments], stage, stack)
        self._mishaps: list[str] = []

    def perform(self) -> bool:
        """Perform it to its end; return whether every promise held."""
        for relay in self._relays:
            relay.start()
        self._until(self._shared, self._plan.patience)
        self._writers.start()
        self._say(f"{self._plan.writers} writers register users and sell courses; some transactions are rolled back")
        self._until_over(self._plan.kill)
        self._kill(self._relays[1])
        self._until_over(self._plan.restart - self._plan.kill)
        self._relays[1].start()
        self._say("relay-2 is started again")
        self._until(lambda _: not self._writers.running, self._plan.write + self._plan.patience)
        self._say("the writers are done; the rest arrives")
        self._until(lambda figures: figures.committed == figures.consumed, self._plan.patience)
        return self._judge()

    def _kill(self, relay: Actor) -> None:
        self._note_mishaps()
        shards = dict(self._counter.look().relays).get(relay.name, 0)
        relay.kill()
        self._say(f"{relay.name} is killed with SIGKILL while it holds {counted(shards, 'shard')}")

    def _judge(self) -> bool:
        self._note_mishaps()
        for relay in self._relays:
            relay.ask_to_stop()
        for relay in self._relays:
            relay.stop()
        self._say("the relays are stopped; the judge reads every topic to its end")
        found = outcome(self._counter.settle(), tuple(self._mishaps), imitated=self._stage.imitated)
        self._screen.show(self._counter.look())
        self._screen.conclude(found.lines)
        return found.held

    def _note_mishaps(self) -> None:
        """Take note of relays that ended though nobody told them to."""
        for relay in self._relays:
            if not relay.running:
                self._mishaps.append(f"{relay.name} ended by itself; its last words: {relay.last_words()}")

    def _shared(self, figures: Figures) -> bool:
        """Whether both relays have work, or cannot have any more."""
        at_work = [name for name, shards in figures.relays if shards]
        return len(at_work) == len(self._relays) or not all(relay.running for relay in self._relays)

    def _until_over(self, seconds: float) -> None:
        self._until(lambda _: False, seconds)

    def _until(self, enough: Callable[[Figures], bool], seconds: float) -> None:
        """Show figures until they are enough, or for so many seconds."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            figures = self._counter.look()
            self._screen.show(figures)
            if enough(figures):
                return
            time.sleep(max(0.0, min(TICK_SECONDS, end - time.monotonic())))

    def _say(self, text: str) -> None:
        self._screen.say(text)
